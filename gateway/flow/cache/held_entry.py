"""How an entry is held: with its head made, and its compressed form once somebody wants that."""

from __future__ import annotations

from gateway.core.cache.content_coding import coded_body, coded_entry, is_worth_coding
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.entry_headers import coded_head
from gateway.core.cache.policy import Rules
from gateway.ports import Held, LocalStore


class Holding:
    """Makes what L1 holds."""

    def __init__(self, local: LocalStore, rules: Rules) -> None:
        self._local = local
        self._rules = rules

    def render(self, entry: Entry, checked_at: float) -> Held:
        """The entry with its head made, once for all answers that it will give."""
        return Held(
            entry,
            *self._rules.head(entry),
            checked_at,
            is_plain=entry.updated_at is not None and not entry.selecting,
            is_verbatim=self._rules.is_verbatim,
            is_codable=is_worth_coding(entry),
        )

    def coded(self, key: Key, held: Held) -> Held:
        """Its compressed form, made when it is asked for first; itself where that gains nothing."""
        if held.is_codable and held.coded is None:
            body = coded_body(held.entry.body)
            held.is_codable = body is not None
            if body is not None:
                entry = coded_entry(held.entry, body)
                head, brief_at = coded_head(held.head, held.entry, len(body))
                held.coded = held.but(entry=entry, head=head, brief_at=brief_at)
                if self._local.peek(key) is held:
                    self._local.put(key, held)  # it takes more from now on
        return held.coded or held
