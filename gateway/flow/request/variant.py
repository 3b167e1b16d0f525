"""Whether a request chooses what is stored, or what somebody else fetched (RFC 9111, 4.1).

A key may have several answers, told apart by request fields; the rules know which.
"""

from __future__ import annotations

from gateway.core.cache.rules import Rules
from gateway.flow.answer import Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.fill.collapse import Elsewhere, Landed
from gateway.flow.fill.fetch_result import Passed


def chosen(rules: Rules, ask: Ask, seen: Seen | None) -> Seen | None:
    """What was seen, if the request chooses just that."""
    if seen is None or not rules.selects(seen.held.entry, ask.extra):
        return None
    return seen


def fits(rules: Rules, ask: Ask, landed: Landed) -> bool:
    """Whether what somebody fetched is what this request would have been given."""
    if isinstance(landed, Passed):
        return True
    held = landed.seen.held if isinstance(landed, Elsewhere) else landed.held
    return held.is_plain or rules.selects(held.entry, ask.extra)
