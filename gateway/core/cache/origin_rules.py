"""The rules of `freshness.source = "origin"`: RFC 9111 by what the upstream says, our own numbers
where it says nothing. What its fields mean is in rfc9111; here is what follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from gateway.core.cache.entry import Entry, Ticket
from gateway.core.cache.entry_head import head_of_fields
from gateway.core.cache.entry_headers import etag_of, last_modified_of
from gateway.core.cache.policy import Plan, Windows, admit, may_rescue, plan, renew
from gateway.core.cache.rfc9111 import (
    explicit_lifetime,
    guessed_lifetime,
    initial_age,
    why_not_stored,
    windows_for,
)
from gateway.core.errors import InvalidPayload, UpstreamError
from gateway.core.http.fields import Headers, shared, without_hops
from gateway.core.http.response import Reply
from gateway.core.http.vary import selecting_fields, selects
from gateway.core.upstream.classification import ForCaller, Judged, Other, Question, judge
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import NotStoredReason

# Said anew with each answer, or about this one message alone.
_OF_THE_MESSAGE: Final = frozenset(
    b"age alt-svc cache-status content-length date set-cookie training-updated-at "
    b"x-request-id".split()
)
# RFC 9111, 3.2: what tells how the stored body is framed is not taken from a 304.
_OF_THE_BODY: Final = frozenset({b"content-encoding", b"content-range"})
_SAYS_OF_CACHING: Final = frozenset({b"cache-control", b"expires"})
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class ByOrigin:
    """The upstream's word decides. `vary`: whether answers depend on who asks; `is_shared`:
    whether one share of the cache has more than one caller."""

    windows: Windows
    vary: bool
    is_shared: bool
    is_verbatim: ClassVar[bool] = True

    def judge(self, reply: Reply, question: Question, now: float) -> Judged:
        """As by policy, but every complete answer passes: an error, and a page instead of the
        API, only where nothing stored may rescue, unless it says that it is fresh."""
        try:
            judged = judge(reply, question, now)
        except InvalidPayload:
            return Other()
        except UpstreamError as error:
            if reply.status == 304:
                raise
            is_error = reply.status >= 500 or reply.is_html
            if is_error and not self._says_fresh(reply, now):
                error.reply = self.passing(reply)
                raise
            return Other()
        to_be_passed = isinstance(judged, ForCaller) and reply.status not in (401, 403)
        return Other() if to_be_passed else judged

    def _says_fresh(self, reply: Reply, now: float) -> bool:
        return bool(self._lifetime(reply.status, reply.headers, now))

    def why_not_stored(self, entry: Entry, reply: Reply) -> NotStoredReason | None:
        """As RFC 9111, 3 has it; without a version or a lifetime it would be of no use."""
        if entry.updated_at is None and entry.freshness_lifetime <= 0.0:
            return NotStoredReason.STATUS
        return why_not_stored(entry.status, entry.headers, is_shared=self.is_shared)

    def admit(
        self, reply: Reply, training: Training | None, ticket: Ticket, sent: Headers, jitter: float
    ) -> Entry:
        """By its own lifetime; by ours for a training, 404 or 410 that says none."""
        entry = admit(reply, training, ticket, self.windows, jitter)
        has_ours = training is not None or entry.is_negative
        lifetime = self._lifetime(reply.status, reply.headers, ticket.started)
        if lifetime is None:
            lifetime = entry.freshness_lifetime if has_ours else 0.0
        return entry.but(
            headers=_kept(reply.headers),
            initial_age=initial_age(reply.headers, ticket.started),
            freshness_lifetime=lifetime,
            selecting=selecting_fields(reply.headers, sent),
        )

    def renew(
        self, entry: Entry, reply: Reply, ticket: Ticket, sent: Headers, jitter: float
    ) -> Entry:
        """With each stored field replaced that the 304 brings (RFC 9111, 3.2)."""
        fresh = tuple(pair for pair in _kept(reply.headers) if pair[0] not in _OF_THE_BODY)
        updated = {name for name, _ in fresh}
        headers = tuple(pair for pair in entry.headers if pair[0] not in updated) + fresh
        renewed = renew(entry, reply, ticket, self.windows, jitter)
        dated = (*headers, (b"date", renewed.date.encode("ascii")))
        lifetime = self._lifetime(entry.status, dated, ticket.started)
        return renewed.but(
            headers=headers,
            initial_age=initial_age(reply.headers, ticket.started),
            freshness_lifetime=renewed.freshness_lifetime if lifetime is None else lifetime,
            selecting=selecting_fields(headers, sent),
        )

    def _lifetime(self, status: int, headers: Headers, received: float) -> float | None:
        explicit = explicit_lifetime(headers, received, is_shared=self.is_shared)
        if explicit is not None:
            return explicit
        return guessed_lifetime(status, headers, received, is_shared=self.is_shared)

    def plan(self, entry: Entry, now: float, *, below_floor: bool = False) -> Plan:
        """As by policy, within the stale windows that the entry itself allows."""
        return plan(entry, now, self._windows(entry), below_floor=below_floor)

    def may_rescue(self, entry: Entry, now: float) -> bool:
        """As by policy, within the stale windows that the entry itself allows."""
        return may_rescue(entry, now, self._windows(entry))

    def _windows(self, entry: Entry) -> Windows:
        return windows_for(entry.headers, self.windows, is_shared=self.is_shared)

    def selects(self, entry: Entry, sent: Headers) -> bool:
        """As RFC 9111, 4.1 has it."""
        return selects(entry.selecting, sent)

    def head(self, entry: Entry) -> tuple[bytes, int]:
        """With what the upstream said; our own lifetime where it said nothing."""
        return head_of_fields(self._fields(entry), entry)

    def _fields(self, entry: Entry) -> Headers:
        fields = list(_kept(entry.headers))
        names = {name for name, _ in fields}
        if entry.status not in _BODILESS:
            fields.append((b"content-length", b"%d" % len(entry.body)))
        if entry.updated_at is not None:
            if b"etag" not in names:
                fields.append((b"etag", etag_of(entry)))
            changed = last_modified_of(entry)
            if b"last-modified" not in names and changed is not None:
                fields.append((b"last-modified", changed))
            fields.append((b"training-updated-at", entry.updated_at_text.encode("ascii")))
        fields.append((b"date", entry.date.encode("ascii")))
        if _SAYS_OF_CACHING.isdisjoint(names):
            control = b"private, max-age=%d" % int(entry.freshness_lifetime)
            fields.append((b"cache-control", control))
        if self.vary:
            fields.append((b"vary", b"Authorization"))
        return tuple(fields)

    def passing(self, reply: Reply) -> Reply:
        """As it is, with what it says of caching."""
        return verbatim(reply)


def verbatim(reply: Reply) -> Reply:
    """What is handed on of it as it is: all but what belongs to one hop, and cookies."""
    return replace(reply, headers=_kept_to_pass(reply.headers), is_verbatim=True)


def _kept(headers: Headers) -> Headers:
    """What is stored and sent on: all but what belongs to one message. An entry may come from
    Redis, and what frames a message is never taken from there."""
    fields = without_hops(headers)
    return shared(tuple(pair for pair in fields if pair[0] not in _OF_THE_MESSAGE))


def _kept_to_pass(headers: Headers) -> Headers:
    told = tuple(pair for pair in headers if pair[0] in (b"date", b"age"))
    return _kept(headers) + told
