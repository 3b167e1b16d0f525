"""What a simulator is started with. Lives here: values and defaults; nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.simulator.conditional import ETagForm
from gateway.simulator.limiter import RetryAfter
from gateway.simulator.revisions import Revision

DEMO_TOKEN = "demo-token"
DEMO_ORGANISATION = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Everything that shapes one simulator; durations in seconds, zero or `None` switches off."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""
    trainings: int = 1000
    """How many each organisation starts with."""
    keys: Mapping[str, str] = field(default_factory=lambda: {DEMO_TOKEN: DEMO_ORGANISATION})
    """Bearer token to organisation; the first one's organisation is what `/_control` means."""
    forbidden: frozenset[str] = frozenset()
    """Ids that answer 403 whoever asks."""
    limit: int | None = 100
    """Calls per key and window; `None` counts but never refuses."""
    window: float = 60.0
    retry_after: RetryAfter = RetryAfter.SECONDS
    latency: float = 0.0
    jitter: float = 0.0
    """Added to the latency, evenly from none to all of it."""
    edit_every: float = 0.0
    """Seconds between edits of random trainings."""
    revision: Revision = Revision.CURRENT
    etag: ETagForm = ETagForm.NONE
    last_modified: bool = False
    cache_control: str | None = None
    cookie: bool = True
    """A CDN's `Set-Cookie`, different on each answer."""
    keep_alive: float = 75.0
    """How long an idle connection stays open."""
    seed: int = 1
