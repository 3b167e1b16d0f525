"""The rules of `freshness.source = "origin"`: the upstream's header fields decide (RFC 9111, 5861,
9213).

The settings apply only where the header fields state nothing. `is_shared`: several callers use one
partition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import floor
from typing import ClassVar, Final

from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry import Entry, FetchStart
from gateway.core.cache.entry_headers import etag_of, head_of_fields, last_modified_of
from gateway.core.cache.policy import Plan, Windows, admit, may_rescue, plan, renew
from gateway.core.errors import InvalidPayload, UpstreamError
from gateway.core.http.cache_control import (
    LARGEST_DELTA,
    Directives,
    directives_of,
    joined,
    seconds,
    targeted,
)
from gateway.core.http.fields import Headers, Reply, delta_seconds, first, shared, without_hops
from gateway.core.instant import parse_http_date
from gateway.core.upstream.classification import (
    LAST_STATUS,
    Confirmed,
    ForCaller,
    Judged,
    Other,
    Question,
    judge,
)
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import NotStoredReason

# RFC 9110, 15.1: the heuristically cacheable statuses, without 206 (a part of a response).
_HEURISTIC: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# The statuses whose caching rules the gateway knows, for must-understand (RFC 9111, 5.2.2.3).
_UNDERSTOOD: Final = _HEURISTIC | {201, 202, 302, 303, 307, 400, 402, 406, 409, 500, 502, 503, 504}
# Never stored: a part of a response (206), a 304 (it has no body), and answers that concern a
# single caller (401, 403, 407, 429).
_NEVER: Final = frozenset({206, 304, 401, 403, 407, 429})
# The heuristic lifetime is a tenth of the time from `Last-Modified` to `Date`, at most one day (RFC
# 9111, 4.2.2).
_HEURISTIC_FRACTION: Final = 0.1
_LONGEST_HEURISTIC: Final = 86_400.0


def said(headers: Headers, *, is_shared: bool) -> Directives:
    """The caching directives of a response. `CDN-Cache-Control` states them if `is_shared` and if
    this field is valid (RFC 9213). Otherwise `Cache-Control` states them."""
    for_cdns = _for_cdns(headers, is_shared=is_shared)
    return directives_of(_all(headers, b"cache-control")) if for_cdns is None else for_cdns


def why_not_stored(status: int, headers: Headers, *, is_shared: bool) -> NotStoredReason | None:
    """Why a response must not be stored (RFC 9111, 3). None if it may be stored."""
    directives = said(headers, is_shared=is_shared)
    if status in _NEVER:
        return NotStoredReason.STATUS
    if b"must-understand" in directives:
        if status not in _UNDERSTOOD:
            return NotStoredReason.STATUS
    elif b"no-store" in directives:
        return NotStoredReason.NO_STORE
    if is_shared and b"private" in directives:
        return NotStoredReason.PRIVATE
    if varies_on(headers) is None:
        return NotStoredReason.VARY
    permitted = status in _HEURISTIC or b"public" in directives
    if not permitted and explicit_lifetime(headers, 0.0, is_shared=is_shared) is None:
        return NotStoredReason.STATUS
    return None


def explicit_lifetime(headers: Headers, received: float, *, is_shared: bool) -> float | None:
    """The lifetime in seconds that the response states (RFC 9111, 4.2.1), or None. Without a valid
    `Date`, `Expires` is compared with `received`."""
    directives = said(headers, is_shared=is_shared)
    if b"no-cache" in directives:
        return 0.0
    lifetime = seconds(directives, b"s-maxage") if is_shared else None
    if lifetime is None:
        lifetime = seconds(directives, b"max-age")
    if lifetime is not None or _for_cdns(headers, is_shared=is_shared) is not None:
        return lifetime  # a targeted field overrides `Expires` (RFC 9213, 2.2)
    expires = [value for name, value in headers if name == b"expires"]
    if not expires:
        return None
    until = _moment(expires[0]) if len(expires) == 1 else None
    return 0.0 if until is None else _delta(until - date_of(headers, received))


def guessed_lifetime(
    status: int, headers: Headers, received: float, *, is_shared: bool
) -> float | None:
    """The heuristic lifetime in seconds (RFC 9111, 4.2.2), or None."""
    changed = _moment(first(headers, b"last-modified"))
    public = b"public" in said(headers, is_shared=is_shared)
    if changed is None or not (public or status in _HEURISTIC):
        return None
    unchanged_for = max(0.0, date_of(headers, received) - changed)
    return min(unchanged_for * _HEURISTIC_FRACTION, _LONGEST_HEURISTIC)


def initial_age(headers: Headers, sent: float) -> float:
    """The age of a response at `sent`, the time of its request (RFC 9111, 4.2.3)."""
    apparent = floor(sent - date_of(headers, sent))
    return max(_delta(apparent), delta_seconds(first(headers, b"age")))


def _delta(difference: float) -> float:
    """The difference of two dates, within the bounds of other lifetimes and ages (RFC 9111, 1.2.2).
    An entry in Redis with a far longer one could not be read."""
    return float(min(max(difference, 0.0), LARGEST_DELTA))


def date_of(headers: Headers, otherwise: float) -> float:
    """The `Date` in epoch seconds (RFC 9110, 6.6.1), or `otherwise` if it is missing or invalid."""
    made = _moment(first(headers, b"date"))
    return otherwise if made is None else made


def windows_for(headers: Headers, windows: Windows, *, is_shared: bool) -> Windows:
    """The windows of a response. The response can state its stale windows (RFC 5861), or forbid its
    use when it is stale (RFC 9111, 4.2.4)."""
    fields = (_all(headers, b"cache-control"), _all(headers, b"cdn-cache-control"))
    return _windows(*fields, windows, is_shared)


@lru_cache(1_024)
def _windows(control: bytes, for_cdns: bytes, windows: Windows, is_shared: bool) -> Windows:
    headers = ((b"cache-control", control), (b"cdn-cache-control", for_cdns))
    directives = said(headers, is_shared=is_shared)
    forbidding = {b"must-revalidate", b"no-cache"}
    if is_shared:  # RFC 9111, 5.2.2.8 and 5.2.2.10
        forbidding |= {b"proxy-revalidate", b"s-maxage"}
    if not forbidding.isdisjoint(directives):
        return replace(windows, stale_while_revalidate=0.0, stale_if_error=0.0)
    refreshing = seconds(directives, b"stale-while-revalidate")
    failing = seconds(directives, b"stale-if-error")
    return replace(
        windows,
        stale_while_revalidate=(
            windows.stale_while_revalidate if refreshing is None else refreshing
        ),
        stale_if_error=windows.stale_if_error if failing is None else failing,
    )


def _for_cdns(headers: Headers, *, is_shared: bool) -> Directives | None:
    value = _all(headers, b"cdn-cache-control") if is_shared else b""
    return targeted(value) if value else None


def _all(headers: Headers, name: bytes) -> bytes:
    return joined(value for key, value in headers if key == name)


def _moment(value: bytes | None) -> float | None:
    return None if value is None else parse_http_date(value.decode("latin-1"))


# Fields that are never kept: the gateway writes them itself, or they concern one message only.
_OF_THE_MESSAGE: Final = frozenset(
    b"age alt-svc cache-status content-length date set-cookie training-updated-at "
    b"x-request-id".split()
)
# A 304 does not update these fields of the stored body (RFC 9111, 3.2).
_OF_THE_BODY: Final = frozenset({b"content-encoding", b"content-range"})
_SAYS_OF_CACHING: Final = frozenset({b"cache-control", b"expires"})
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class ByOrigin:
    """The rules that follow the upstream's header fields. `vary`: heads get `Vary:
    Authorization`."""

    windows: Windows
    vary: bool
    is_shared: bool
    is_verbatim: ClassVar[bool] = True

    def judge(self, reply: Reply, question: Question, now: float) -> Judged:
        """Like `ByPolicy.judge`, but most replies that `ByPolicy` refuses are passed on to the
        caller.

        A 5xx or an HTML page is passed on if it has a freshness lifetime above 0. If not, it is
        passed on only if there is no stale response for rescue. These replies are never passed on:

        - a 429
        - a 304 to a call without validators
        - a status above 599
        - a 401 to the gateway's own token, if the body is an error of the API
        """
        if reply.status == 304 and question.conditional:
            # `judge` would refuse HTML, but a 304 can repeat the type of a stored HTML page.
            return Confirmed()
        try:
            judged = judge(reply, question, now)
        except InvalidPayload:
            return Other()
        except UpstreamError as error:
            if reply.status == 304 or reply.status > LAST_STATUS:
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
        """Calls the function `why_not_stored`. A response without a version is also not stored if
        its freshness lifetime is 0."""
        if entry.updated_at is None and entry.freshness_lifetime <= 0.0:
            return NotStoredReason.STATUS
        return why_not_stored(entry.status, entry.headers, is_shared=self.is_shared)

    def admit(
        self,
        reply: Reply,
        training: Training | None,
        start: FetchStart,
        sent: Headers,
        jitter: float,
    ) -> Entry:
        """The entry of a reply, with the lifetime that the reply states, or else with the heuristic
        lifetime. If there is neither, a training, a 404 and a 410 have the lifetime of the
        settings, and other responses have the lifetime 0."""
        entry = admit(reply, training, start, self.windows, jitter)
        return entry.but(
            headers=_kept(reply.headers),
            initial_age=initial_age(reply.headers, start.started),
            freshness_lifetime=self._lifetime_of(entry, reply.headers),
            selecting=selecting_fields(reply.headers, sent),
        )

    def renew(
        self, entry: Entry, reply: Reply, start: FetchStart, sent: Headers, jitter: float
    ) -> Entry:
        """The entry after a 304, with updated header fields (RFC 9111, 3.2). The lifetime is found
        as in `admit`."""
        fresh = _updating(entry, reply)
        updated = {name for name, _ in fresh}
        headers = tuple(pair for pair in entry.headers if pair[0] not in updated) + fresh
        renewed = renew(entry, reply, start, self.windows, jitter)
        dated = (*headers, (b"date", renewed.date.encode("ascii")))
        return renewed.but(
            headers=headers,
            initial_age=initial_age(reply.headers, start.started),
            freshness_lifetime=self._lifetime_of(renewed, dated),
            selecting=selecting_fields(headers, sent),
        )

    def _lifetime_of(self, entry: Entry, headers: Headers) -> float:
        """The lifetime of an entry with these header fields. `entry.freshness_lifetime` is still
        the lifetime of the settings."""
        lifetime = self._lifetime(entry.status, headers, entry.confirmed_at)
        if lifetime is not None:
            return lifetime
        settings_apply = entry.updated_at is not None or entry.is_negative
        return entry.freshness_lifetime if settings_apply else 0.0

    def _lifetime(self, status: int, headers: Headers, received: float) -> float | None:
        explicit = explicit_lifetime(headers, received, is_shared=self.is_shared)
        if explicit is not None:
            return explicit
        return guessed_lifetime(status, headers, received, is_shared=self.is_shared)

    def plan(self, entry: Entry, now: float, *, only_rescue: bool = False) -> Plan:
        """Like `ByPolicy`, with the entry's stale windows."""
        return plan(entry, now, self._windows(entry), only_rescue=only_rescue)

    def may_rescue(self, entry: Entry, now: float) -> bool:
        """Like `ByPolicy`, with the entry's stale windows."""
        return may_rescue(entry, now, self._windows(entry))

    def _windows(self, entry: Entry) -> Windows:
        return windows_for(entry.headers, self.windows, is_shared=self.is_shared)

    def selects(self, entry: Entry, sent: Headers) -> bool:
        """Calls the function `selects`."""
        return selects(entry.selecting, sent)

    def head(self, entry: Entry) -> tuple[bytes, int]:
        """The header lines, with the upstream's caching fields. If there are no such fields, a
        `Cache-Control` states the lifetime."""
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
        # An entry that was stored with `freshness.source = "policy"` can have a `Cache-Control`
        # with `no-transform` alone. It states no lifetime, so a second field is added.
        if _SAYS_OF_CACHING.isdisjoint(pair[0] for pair in fields if pair != NO_TRANSFORM):
            control = b"private, max-age=%d" % int(entry.freshness_lifetime)
            fields.append((b"cache-control", control))
        if self.vary:
            fields.append((b"vary", b"Authorization"))
        return tuple(fields)

    def passing(self, reply: Reply) -> Reply:
        """Calls the function `verbatim`."""
        return verbatim(reply)


def verbatim(reply: Reply) -> Reply:
    """The reply without the fields of one connection or message, such as cookies. Its caching
    fields stay, also `Date` and `Age`."""
    return replace(reply, headers=_kept_to_pass(reply.headers), is_verbatim=True)


def _updating(entry: Entry, reply: Reply) -> Headers:
    """The fields of a 304 that replace those of the entry.

    RFC 9111, 3.2 wants the 304's `Content-Type` too, and this corrects a type that was stored
    wrongly. But a proxy in front of the API can write the type of its own pages into a 304. So the
    type of a page is left out, unless a page is stored.
    """
    left_out = _OF_THE_BODY
    if reply.is_html and not Reply(entry.status, entry.headers, b"").is_html:
        left_out |= {b"content-type"}
    return tuple(pair for pair in _kept(reply.headers) if pair[0] not in left_out)


def _kept(headers: Headers) -> Headers:
    """All fields except those of one connection or one message. Those are left out when an answer
    is stored, and again when a response is made, because an entry from Redis can have any
    fields."""
    fields = without_hops(headers)
    return shared(tuple(pair for pair in fields if pair[0] not in _OF_THE_MESSAGE))


def _kept_to_pass(headers: Headers) -> Headers:
    told = tuple(pair for pair in headers if pair[0] in (b"date", b"age"))
    return _kept(headers) + told


# Language tags are compared without case (RFC 5646, 2.1.1).
_CASELESS: Final = frozenset({b"accept-language"})
_ABSENT: Final = b""


def varies_on(headers: Headers) -> frozenset[bytes] | None:
    """The lower-case names in `Vary` (RFC 9110, 12.5.5). None if `Vary` has `*`: such a response
    answers no later request."""
    value = joined(value for name, value in headers if name == b"vary")
    names = frozenset(name.strip().lower() for name in value.split(b",")) - {b""}
    return None if b"*" in names else names


def selecting_fields(headers: Headers, sent: Headers) -> Headers:
    """The request fields that `Vary` names, normalised. An absent field has the value `_ABSENT`."""
    return tuple((name, _presented(name, sent)) for name in sorted(varies_on(headers) or ()))


def selects(selecting: Headers, sent: Headers) -> bool:
    """Whether the request fields `sent` match the selecting fields of an entry (RFC 9111, 4.1)."""
    return all(_presented(name, sent) == value for name, value in selecting)


def _presented(name: bytes, sent: Headers) -> bytes:
    """The field as one value, normalised. The value begins with `=`, so an empty field differs from
    an absent one."""
    values = [value for key, value in sent if key == name]
    if not values:
        return _ABSENT
    value = joined(values).strip(b" \t")
    if b'"' not in value:
        value = b",".join([each.strip(b" \t") for each in value.split(b",")])
    return b"=" + (value.lower() if name in _CASELESS else value)
