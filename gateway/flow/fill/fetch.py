"""Loads a key: calls the upstream, judges the answer, and stores the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, is_later
from gateway.core.cache.policy import Rules
from gateway.core.errors import (
    REMOVED,
    ListRefused,
    RedisUnavailable,
    UpstreamError,
    UpstreamFailure,
    UpstreamRefused,
    VersionDoubted,
)
from gateway.core.http.fields import Headers, Reply, first
from gateway.core.instant import Instant, to_seconds
from gateway.core.upstream.classification import (
    Confirmed,
    ForCaller,
    Gone,
    Judged,
    Other,
    Question,
    is_from_api,
    is_refusal,
)
from gateway.core.upstream.list_page import THE_LIST, Page
from gateway.core.upstream.list_query import ListQuery
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import (
    Cause,
    FailureReason,
    NoticeKind,
    NotStoredReason,
    Part,
    Purpose,
    StoreVerdict,
)
from gateway.flow.answer import Ask
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.credentials import Credentials
from gateway.flow.fill.page_call import ask_for_page
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.singleflight import Course
from gateway.flow.timings import on
from gateway.ports import Bus, Call, Clock, Held, Notice, Observer, Stored

_REFUSED = {
    StoreVerdict.OLDER: NotStoredReason.OLDER_VERSION,
    StoreVerdict.AHEAD: NotStoredReason.FUTURE_VERSION,
    StoreVerdict.INVALIDATED: NotStoredReason.INVALIDATED,
}

_DOUBTED: dict[StoreVerdict | None, str] = {
    StoreVerdict.OLDER: "the answer is older than the latest known state of the training",
    StoreVerdict.AHEAD: "the version of the answer is far in the future",
}

# The purposes of calls that are made because a stored response is doubted.
_IN_DOUBT = frozenset((Purpose.VERIFY, Purpose.MIN_VERSION))


@dataclass(frozen=True, slots=True)
class Want:
    """The fetch that is wanted.

    alone        this replica makes a call even if another replica is already fetching the key
    only_rescue  an order rules out the entry `held`
    """

    key: Key
    caller: Caller
    purpose: Purpose
    held: Held | None = None
    extra: Headers = field(default=(), repr=False)
    alone: bool = False
    only_rescue: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """An answer that can be served. `verdict` is None if the answer was not offered to the
    store. `extra` as in `Want`."""

    held: Held
    forward_status: int
    verdict: StoreVerdict | None
    not_stored: NotStoredReason | None
    extra: Headers = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer of the upstream for this caller alone (for example a 403). `extra` as in `Want`."""

    reply: Reply
    extra: Headers = field(default=(), repr=False)


class Fetcher:
    """Loads keys from upstream. `refused` drops all stored responses of a partition."""

    def __init__(
        self,
        tiers: Tiers,
        outbound: Outbound,
        clock: Clock,
        observer: Observer,
        bus: Bus,
        *,
        credentials: Credentials,
        rules: Rules,
        current: Callable[[Caller], Caller],
        refused: Callable[[str], Awaitable[None]],
    ) -> None:
        self._tiers = tiers
        self._outbound = outbound
        self._clock = clock
        self._observer = observer
        self._bus = bus
        self._credentials = credentials
        self._rules = rules
        self._current = current
        self._end_partition = refused

    async def fetch(
        self, want: Want, start: FetchStart, flight: Course, deadline: float
    ) -> Filled | Passed:
        """Call the upstream and store its answer. Raises UpstreamFailure, CallWithheld,
        AccessRefused.

        `start` has to be taken before the call. `deadline` is monotonic. The tenant's token can
        be replaced while the fetch waits, so the call uses the current token.
        """
        caller = self._current(want.caller)
        want = replace(want, caller=caller)
        self._credentials.turn_away(caller.partition)
        reply, judged = await self._ask(want, flight, deadline)
        await self._outbound.answered(caller)
        entry = self._entry(want, reply, judged, start)
        if entry is None:
            if is_refusal(reply):
                await self._turned_away(want, reply.status, start)
            return Passed(self._rules.passing(reply), want.extra)
        held = self._tiers.render(entry, start.read_at)
        return await self._keep(want, held, reply, flight)

    async def fetch_list(
        self, ask: Ask, query: ListQuery, purpose: Purpose, deadline: float
    ) -> tuple[Reply, Page | None]:
        """Call the upstream for a page of the list. The page is None if the API refused the call,
        or if the answer does not have the form of a page. Raises as `fetch`."""
        caller, sent_at = self._current(ask.caller), self._clock.monotonic()
        self._credentials.turn_away(caller.partition)
        call = Call(THE_LIST, caller.token, purpose, deadline, extra=ask.extra, who=caller.who)
        call, page = replace(call, offset=query.offset, query=query.text), None
        try:
            reply, page = await ask_for_page(self._outbound, caller, call, self._clock)
        except ListRefused as refused:
            reply = refused.reply
        if reply.status == 401 and not caller.owns_token:
            failure = UpstreamRefused("upstream refused the gateway's own token", status=401)
            await self._outbound.failed(caller, THE_LIST, failure)
            raise failure
        if is_from_api(reply):
            self._credentials.judged(caller, reply.status, sent_at)
        if reply.status == 401:
            await self._end_partition(caller.partition)
        return reply, page

    async def _ask(self, want: Want, flight: Course, deadline: float) -> tuple[Reply, Judged]:
        sent_at = self._clock.monotonic()

        def note_paid() -> None:
            flight.is_paid = True

        try:
            call = replace(self._call(want, deadline), when_paid=note_paid)
            reply = await self._outbound.ask(want.caller, call)
            judged = self._judge(want, call, reply)
        except UpstreamFailure as failure:
            failure.conceal(want.caller.token)
            if isinstance(failure, UpstreamError):
                failure.extra = want.extra
            await self._outbound.failed(want.caller, want.key.training_id, failure)
            raise
        if is_from_api(reply):
            self._credentials.judged(want.caller, reply.status, sent_at)
        return reply, judged

    def _call(self, want: Want, deadline: float) -> Call:
        held = _validators(want)
        return Call(
            training_id=want.key.training_id,
            token=want.caller.token,
            purpose=want.purpose,
            deadline=deadline,
            etag=first(held, b"etag"),
            last_modified=first(held, b"last-modified"),
            extra=want.extra,
            who=want.caller.who,
        )

    def _judge(self, want: Want, call: Call, reply: Reply) -> Judged:
        conditional = call.etag is not None or call.last_modified is not None
        question = Question(want.key.training_id, conditional, want.caller.owns_token)
        return self._rules.judge(reply, question, self._clock.now())

    def _entry(self, want: Want, reply: Reply, judged: Judged, start: FetchStart) -> Entry | None:
        rules, sent, jitter = self._rules, want.extra, self._clock.jitter()
        match judged:
            case Training():
                for drift in judged.drift:
                    name = drift.field.replace(want.caller.token, REMOVED)
                    self._observer.drifted(drift.kind, name)
                return rules.admit(reply, judged, start, sent, jitter)
            case Gone():
                return rules.admit(reply, None, start, sent, jitter)
            case Other():
                entry = rules.admit(reply, None, start, sent, jitter)
                return entry if rules.why_not_stored(entry, reply) is None else None
            case Confirmed() if want.held is not None:
                return rules.renew(want.held.entry, reply, start, sent, jitter)
            case Confirmed() | ForCaller():
                return None

    async def _turned_away(self, want: Want, status: int, start: FetchStart) -> None:
        """Drop the stored responses to which the upstream refused access."""
        if status == 401:
            await self._end_partition(want.key.partition)
        elif status == 403:
            facts = Facts(None, start.ticket, start.started, start.started)
            await self._tiers.drop(want.key, facts)
            await self._tell(_change(want.key, None))

    async def _keep(self, want: Want, held: Held, reply: Reply, flight: Course) -> Filled:
        entry = held.entry
        forbidden = self._rules.why_not_stored(entry, reply)
        if forbidden is not None:
            self._observer.not_stored(want.key, forbidden)
            await self._outdate(want, entry)
            return Filled(held, reply.status, None, forbidden, want.extra)
        with on(Part.STORE):
            stored = await self._tiers.store(want.key, held, flight)
        stored = _compared(stored, entry, want.held)
        refused = _REFUSED.get(stored.verdict)
        if refused is None:
            self._observer.stored(want.key, stored.verdict)
        else:
            self._refused(want.key, entry, refused, stored)
        if stored.verdict is StoreVerdict.CHANGED:
            await self._changed(want.key, entry)
        elif stored.verdict is StoreVerdict.BELIEVED:
            # The notice has no version, so it outdates all versions. Another replica perhaps holds
            # a later version than the believed one.
            self._observer.invalidated(Cause.UPDATED_AT, want.key.training_id)
            await self._tell(_change(want.key, None))
        return Filled(held, reply.status, stored.verdict, refused)

    async def _outdate(self, want: Want, entry: Entry) -> None:
        """Drop the stored entry if the answer `entry`, which must not be stored, supersedes it."""
        known = None if want.held is None else want.held.entry
        if known is None or is_later(known.facts, entry.facts):
            return
        await self._tiers.drop(want.key, entry.facts)
        if entry.digest != known.digest:
            await self._changed(want.key, entry)

    def _refused(self, key: Key, entry: Entry, reason: NotStoredReason, stored: Stored) -> None:
        self._observer.not_stored(key, reason)
        known = stored.facts
        is_late = known is not None and entry.started < known.started
        if reason is NotStoredReason.OLDER_VERSION and not is_late:
            self._observer.regressed(key.training_id)

    async def _changed(self, key: Key, entry: Entry) -> None:
        self._count_change(key, entry)
        await self._tell(_change(key, entry.updated_at))

    async def _tell(self, notice: Notice) -> None:
        """Tell the other replicas. Without Redis, their own refreshes find the change."""
        with suppress(RedisUnavailable):
            await self._bus.announce(notice)

    def _count_change(self, key: Key, entry: Entry) -> None:
        if entry.updated_at is None:
            if entry.is_negative:
                self._observer.invalidated(Cause.NOT_FOUND, key.training_id)
            return
        self._observer.invalidated(Cause.UPDATED_AT, key.training_id)
        self._observer.lagged(max(0.0, self._clock.now() - to_seconds(entry.updated_at)))


def _validators(want: Want) -> Headers:
    """The header fields of the stored entry, if a 304 may renew it. Otherwise none.

    A 304 does not prove that an entry is current if there is a reason for doubt: an order or the
    list, or a caller that knows of a later version. `Last-Modified` counts whole seconds, so
    versions of the same second have the same validator.
    """
    is_doubted = want.only_rescue or want.purpose in _IN_DOUBT
    if want.held is None or is_doubted or want.held.entry.is_negative:
        return ()
    return want.held.entry.headers


def came_of(fetched: Filled | Passed) -> tuple[int, StoreVerdict | NotStoredReason | None]:
    """The upstream's status, and what became of the answer (None if it concerned only the
    caller)."""
    if isinstance(fetched, Passed):
        return fetched.reply.status, None
    return fetched.forward_status, fetched.not_stored or fetched.verdict


def failing(want: Want, landed: Filled | Passed) -> UpstreamError | None:
    """The reason to back off from the key although an answer came, or None. A doubted version is
    always a reason. Another fruitless answer is a reason only for a refresh."""
    vain = fruitless(landed)
    is_doubted = isinstance(vain, VersionDoubted)
    return vain if is_doubted or want.purpose is Purpose.REFRESH else None


def fruitless(landed: Filled | Passed) -> UpstreamError | None:
    """The error for a fruitless answer, otherwise None. An answer is fruitless if it has a doubted
    version, or is for one caller alone. A 401 or 403 of the API is not fruitless, because it
    removes stored responses."""
    if isinstance(landed, Filled):
        what = _DOUBTED.get(landed.verdict)
        if what is None:
            return None
        return VersionDoubted(what, FailureReason.PROTOCOL, status=landed.forward_status)
    if is_refusal(landed.reply):
        return None
    status = landed.reply.status
    what = f"an answer with status {status} neither renews nor replaces a stored response"
    return UpstreamError(what, FailureReason.PROTOCOL, status=status)


def _compared(stored: Stored, entry: Entry, held: Held | None) -> Stored:
    """The verdict CHANGED in place of UNCHANGED, if the same version has another body now."""
    is_same = held is None or held.entry.digest == entry.digest
    if is_same or stored.verdict is not StoreVerdict.UNCHANGED:
        return stored
    return stored._replace(verdict=StoreVerdict.CHANGED)


def _change(key: Key, updated_at: Instant | None) -> Notice:
    return Notice(NoticeKind.CHANGED, (key.training_id,), key.partition, updated_at)
