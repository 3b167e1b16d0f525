"""Decides whether an answer may be stored, and when a stored response may be served.

In `ByPolicy` the settings decide. In `ByOrigin` (module rfc9111) the upstream's header fields
decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol

from gateway.core.cache.content_coding import NO_TRANSFORM, forbids_transforming
from gateway.core.cache.entry import Entry, FetchStart
from gateway.core.cache.entry_headers import head_of
from gateway.core.http.cache_control import directives_of
from gateway.core.http.fields import Headers, Reply, delta_seconds, end_to_end
from gateway.core.instant import from_seconds, parse_http_date, to_http_date
from gateway.core.upstream.classification import Judged, Question, judge
from gateway.core.upstream.training import Training, digest
from gateway.core.vocabulary import NotStoredReason

# These stored fields describe the body, so a 304 does not change them. If a 304 could replace a
# validator by a wrong one, later 304s would confirm a wrong body.
_TELL_OF_THE_BODY = frozenset({b"content-type", b"etag", b"last-modified"})
_MARGIN_OF_EXPIRY = 60.0
JITTER = 0.1
_FOUND = 200


class Plan(Enum):
    """How a request uses a stored response. `Rules.plan` returns one of the first five."""

    SERVE = "serve"
    SERVE_STALE = "serve-stale"  # without a call: the upstream answered a moment ago
    SERVE_AND_REFRESH = "serve-and-refresh"
    WAIT_SOFTLY = "wait-softly"  # fetch; if this takes longer than `soft_wait`, serve stale
    FETCH = "fetch"
    SERVE_LEFT_ALONE = "serve-left-alone"  # without a call: the last fetch failed
    SERVE_FROZEN = "serve-frozen"  # without a call: the mode forbids it
    FETCH_ANEW = "fetch-anew"  # because of a directive, if `Grants` allows the call
    FETCH_VERSION = "fetch-version"  # until the version that the request needs comes
    ONLY_IF_CACHED = "only-if-cached"  # refuse the request
    FROZEN = "frozen"  # refuse the request


@dataclass(frozen=True, slots=True)
class Windows:
    """The settings of the section `freshness`, in seconds. Both stale windows begin when the
    freshness lifetime ends (RFC 5861)."""

    lifetime: float = 30.0
    stale_while_revalidate: float = 300.0
    stale_if_error: float = 86_400.0
    soft_wait: float = 1.0
    negative_lifetime: float = 10.0
    respect_no_store: bool = True
    believe_after: float = 60.0

    @property
    def keep(self) -> float:
        """For how many seconds Redis keeps a body: for at least a minute longer than these settings
        allow its use."""
        longest = max(self.stale_while_revalidate, self.stale_if_error)
        return max(self.lifetime, self.negative_lifetime) + longest + _MARGIN_OF_EXPIRY


def plan(entry: Entry, now: float, windows: Windows, *, only_rescue: bool = False) -> Plan:
    """How a request uses the entry. `only_rescue`: an order ruled the entry out."""
    if only_rescue or entry.is_from_the_future(now):
        return Plan.FETCH
    if entry.is_fresh(now):
        return Plan.SERVE
    if entry.is_negative:
        return Plan.FETCH
    staleness = entry.age(now) - entry.freshness_lifetime
    if staleness < windows.stale_while_revalidate:
        return Plan.SERVE_AND_REFRESH
    return Plan.WAIT_SOFTLY if staleness < windows.stale_if_error else Plan.FETCH


def may_rescue(entry: Entry, now: float, windows: Windows) -> bool:
    """Whether the entry may be used for rescue (RFC 5861, 4)."""
    if entry.is_negative or entry.is_from_the_future(now):
        return False
    window = max(windows.stale_while_revalidate, windows.stale_if_error)
    return entry.age(now) - entry.freshness_lifetime < window


def admit(
    reply: Reply, training: Training | None, start: FetchStart, windows: Windows, jitter: float
) -> Entry:
    """The entry of a reply that passed `judge`. `training` None: the reply has no training, or is a
    page of the list.

    Freshness begins at `start.started`, before the call was sent. `jitter` in [0, 1) shortens the
    lifetime by a tenth at most.
    """
    lifetime = windows.lifetime if reply.status == _FOUND else windows.negative_lifetime
    return Entry(
        status=reply.status,
        headers=_kept(reply.headers),
        body=reply.body,
        updated_at=None if training is None else training.updated_at,
        updated_at_text="" if training is None else training.updated_at_text,
        digest=digest(reply.body),
        date=date_of(reply, start.started),
        confirmed_at=start.started,
        initial_age=delta_seconds(reply.header(b"age")),
        freshness_lifetime=lifetime * (1.0 - JITTER * jitter),
        started=start.started,
        ticket=start.ticket,
    )


def renew(entry: Entry, reply: Reply, start: FetchStart, windows: Windows, jitter: float) -> Entry:
    """The entry after a 304, with updated header fields (RFC 9111, 3.2)."""
    fresh = tuple(pair for pair in _kept(reply.headers) if pair[0] not in _TELL_OF_THE_BODY)
    updated = {key for key, _ in fresh}
    if reply.header(b"cache-control") is not None:
        updated.add(b"cache-control")
    return entry.but(
        headers=tuple(pair for pair in entry.headers if pair[0] not in updated) + fresh,
        date=date_of(reply, start.started),
        confirmed_at=start.started,
        initial_age=delta_seconds(reply.header(b"age")),
        freshness_lifetime=windows.lifetime * (1.0 - JITTER * jitter),
        started=start.started,
        ticket=start.ticket,
    )


def _kept(headers: Headers) -> Headers:
    """The fields that an entry keeps: the end-to-end fields, and `no-transform`."""
    fields = end_to_end(headers)
    return (*fields, NO_TRANSFORM) if forbids_transforming(headers) else fields


def date_of(reply: Reply, asked_at: float) -> str:
    """The upstream's `Date` if it is valid, otherwise the time `asked_at` as a date."""
    text = (reply.header(b"date") or b"").decode("latin-1").strip(" \t")
    if parse_http_date(text) is not None:
        return text
    return to_http_date(from_seconds(asked_at))


def why_not_stored(headers: Headers, windows: Windows) -> NotStoredReason | None:
    """NO_STORE if the upstream sent `no-store` and the settings respect it, or None."""
    if not windows.respect_no_store:
        return None
    for key, value in headers:
        if key == b"cache-control" and b"no-store" in directives_of(value):
            return NotStoredReason.NO_STORE
    return None


class Rules(Protocol):
    """The rules that the flow uses.

    `sent`: the request fields that a call for the present request would send upstream. `jitter` is
    in [0, 1).
    """

    @property
    def windows(self) -> Windows:
        """The windows of the settings. In `ByOrigin` the upstream can state others for an entry."""

    @property
    def is_verbatim(self) -> bool:
        """Whether responses have the upstream's own caching fields."""

    def judge(self, reply: Reply, question: Question, now: float) -> Judged:
        """Classify a complete reply. Raises UpstreamFailure."""

    def why_not_stored(self, entry: Entry, reply: Reply) -> NotStoredReason | None:
        """Why the entry may not be stored. None if it may."""

    def admit(
        self,
        reply: Reply,
        training: Training | None,
        start: FetchStart,
        sent: Headers,
        jitter: float,
    ) -> Entry:
        """The entry of a reply. `training` None: the entry has no version."""

    def renew(
        self, entry: Entry, reply: Reply, start: FetchStart, sent: Headers, jitter: float
    ) -> Entry:
        """The entry after a 304 that confirmed it."""

    def plan(self, entry: Entry, now: float, *, only_rescue: bool = False) -> Plan:
        """Like the function `plan`."""

    def may_rescue(self, entry: Entry, now: float) -> bool:
        """Like the function `may_rescue`."""

    def selects(self, entry: Entry, sent: Headers) -> bool:
        """Whether the entry is the response to a request with the fields `sent` (`Vary`)."""

    def head(self, entry: Entry) -> tuple[bytes, int]:
        """The header lines of the entry's responses, as `head_of` returns them."""

    def passing(self, reply: Reply) -> Reply:
        """The reply as callers get it if it is not stored."""


@dataclass(frozen=True, slots=True)
class ByPolicy:
    """The rules that follow the settings. `vary`: heads get `Vary: Authorization`."""

    windows: Windows
    vary: bool
    is_verbatim: ClassVar[bool] = False

    def judge(self, reply: Reply, question: Question, now: float) -> Judged:
        """Calls the function `judge`."""
        return judge(reply, question, now)

    def why_not_stored(self, entry: Entry, reply: Reply) -> NotStoredReason | None:
        """All directives other than `no-store` are ignored."""
        return why_not_stored(reply.headers, self.windows)

    def admit(
        self,
        reply: Reply,
        training: Training | None,
        start: FetchStart,
        sent: Headers,
        jitter: float,
    ) -> Entry:
        """Calls the function `admit`."""
        return admit(reply, training, start, self.windows, jitter)

    def renew(
        self, entry: Entry, reply: Reply, start: FetchStart, sent: Headers, jitter: float
    ) -> Entry:
        """Calls the function `renew`."""
        return renew(entry, reply, start, self.windows, jitter)

    def plan(self, entry: Entry, now: float, *, only_rescue: bool = False) -> Plan:
        """Calls the function `plan`, but causes no call sooner than one freshness lifetime after
        the last call that was answered. An answer can have an `Age` above its lifetime. Without
        this rule each request for such a training would cause a call."""
        planned = plan(entry, now, self.windows, only_rescue=only_rescue)
        if planned is Plan.SERVE or only_rescue or not entry.is_just_answered(now):
            return planned
        return Plan.SERVE_STALE

    def may_rescue(self, entry: Entry, now: float) -> bool:
        """Calls the function `may_rescue`. Where `plan` may serve a stale entry without a call, the
        entry may also be used for rescue."""
        return may_rescue(entry, now, self.windows) or (
            entry.is_just_answered(now) and not entry.is_negative
        )

    def selects(self, entry: Entry, sent: Headers) -> bool:
        """A stored response answers every request for its key."""
        return True

    def head(self, entry: Entry) -> tuple[bytes, int]:
        """The header lines, with a `Cache-Control` of the gateway."""
        return head_of(entry, vary=self.vary)

    def passing(self, reply: Reply) -> Reply:
        """The reply unchanged."""
        return reply
