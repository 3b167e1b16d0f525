"""Marks: what rules a stored response out, and which version may replace which. Pure.

Three marks stand behind a stored response: of everything, of its partition and of its training. A
mark has words, which are random and never come again, and bounds. A response carries the words that
its fetch read before it called the API. An order replaces words, so it ends all that was read
before, in Redis, in memory and in flight, and nothing has to be searched:

- a hard order replaces `hard` and `soft`: what was read before is gone
- a soft order replaces `soft`: what was read before is left for rescue
- an order with a version raises a bound: the versions below it are gone (hard) or left for rescue
  (soft). It replaces `named`, which ends each 404, because a 404 has no version

A mark that is lost matches nothing, so a lost record is an order. A fetch makes the marks that are
missing before it calls the API. Storing never makes one.

The list of trainings confirms a stored response, and never rules one out. An older version is not
stored over a later one. It is refused, and the refusal is noted. If a fetch brings the refused
version again, and began `believe_after` seconds after the refusal, then the API went back: the
version is stored, the bounds sink to it, and the mark gets new words. Without new words an older
response of another partition would be current again. An answer that must not be stored still ends
what is stored: its facts are stored without a body.

A slot is what is known of one key in one place: the mark of its training, the facts of its stored
response and its refusal. The functions take a slot and return the slot that follows. A caller
writes it only if the slot is still the one that it read; otherwise it reads the slot again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import NamedTuple

from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict

Version = Instant | None

# Replicas measure the shared clock with small errors. So a time that another replica has noted can
# seem to be this many seconds in the future.
CLOCK_TOLERANCE = 1.0


class Words(NamedTuple):
    """The words of a mark. Only the mark of a training uses `named`."""

    hard: str
    soft: str
    named: str


class Mark(NamedTuple):
    """The versions below `bound` are left for rescue, those below `hard_bound` are gone."""

    words: Words
    bound: Version = None
    hard_bound: Version = None


class Ticket(NamedTuple):
    """The words that a fetch read before its call (None: the mark was not read)."""

    everything: Words | None = None
    partition: Words | None = None
    training: Words | None = None

    @property
    def hard(self) -> tuple[str | None, ...]:
        """The hard words."""
        return tuple(each.hard if each else None for each in self)


class Marks(NamedTuple):
    """The marks behind a stored response, as they stand (None: lost, or not known)."""

    everything: Mark | None = None
    partition: Mark | None = None
    training: Mark | None = None

    @property
    def ticket(self) -> Ticket:
        """The words of the marks."""
        return Ticket(*(each.words if each else None for each in self))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a stored response says of itself.

    version    None: the answer is no training, for example a 404
    started    when its fetch began; for an item of the list the moment of which the page speaks
    confirmed  when the API last confirmed it

    Times are seconds on the clock that all replicas share.
    """

    version: Version
    ticket: Ticket
    started: float
    confirmed: float


class Refusal(NamedTuple):
    """The lowest version that was refused, and when it was refused first."""

    version: Instant
    first: float


class Slot(NamedTuple):
    """What is known of a key in one place. The keys of one training share its mark."""

    mark: Mark | None = None
    stored: Facts | None = None
    refusal: Refusal | None = None


class State(IntEnum):
    """What a stored response may be used for."""

    GONE = 0
    RESCUE = 1
    CURRENT = 2


class Verdict(Enum):
    """Whether a response may be stored."""

    STORE = "store"
    OVERTAKEN = "overtaken"
    OLDER = "older"


NewWord = Callable[[], str]


def is_older(version: Version, other: Version) -> bool:
    """Whether `version` is lower than `other`. False if either is None."""
    return version is not None and other is not None and version < other


def state_of(facts: Facts, marks: Marks, known: Version = None) -> State:
    """The state of a stored response while these marks stand. `known`: a version that is known from
    another copy of the response."""
    pairs = [(was, now) for was, now in zip(facts.ticket, marks.ticket, strict=True) if was and now]
    if len(pairs) < len(marks) or any(was.hard != now.hard for was, now in pairs):
        return State.GONE
    mark = marks.training
    if mark and is_older(facts.version, mark.hard_bound):
        return State.GONE
    if facts.version is None and any(was.named != now.named for was, now in pairs):
        return State.GONE
    if any(was.soft != now.soft for was, now in pairs):
        return State.RESCUE
    if mark and is_older(facts.version, mark.bound):
        return State.RESCUE
    if is_older(facts.version, known):
        return State.RESCUE
    return State.CURRENT


def is_later(facts: Facts, other: Facts) -> bool:
    """Whether a response is later than another: by version, then by start. A 404 has no version to
    compare."""
    if facts.version is None or other.version is None or facts.version == other.version:
        return facts.started > other.started
    return facts.version > other.version


def states(marks: Marks, stored: Facts | None, kept: Facts | None) -> tuple[State, State]:
    """The states of the response in Redis and of that in L1. None: there is none.

    A response that Redis did not store has no words. A response in Redis that is older is left for
    rescue, because callers have perhaps got the later one. If the later one began later, it is left
    for rescue too: no hard order came since. Otherwise it is gone."""
    alone = kept if kept and None in kept.ticket else None
    later = alone.version if alone else None
    state = state_of(stored, marks, later) if stored else State.GONE
    known = stored.version if stored and state is not State.GONE else None
    if alone and stored and state is not State.GONE and alone.started > stored.started:
        alone = replace(alone, ticket=stored.ticket)
        return state, min(state_of(alone, marks, known), State.RESCUE)
    return state, state_of(kept, marks, known) if kept else State.GONE


def better(marks: Marks, stored: Facts | None, kept: Facts | None) -> tuple[Facts | None, State]:
    """Of the responses in Redis and in L1 the one in the better state, at equal states the later
    one, and its state. If both are the same response, it is that of L1. None: both are gone."""
    state, kept_state = states(marks, stored, kept)
    if state is kept_state is State.GONE:
        return None, state
    is_later_in_redis = stored and kept and is_later(stored, kept)
    if state > kept_state or (state is kept_state and is_later_in_redis):
        return stored, state
    return kept, kept_state


def new_mark(new_word: NewWord) -> Mark:
    """The mark that a fetch or a page makes. It matches no response. Its words are equal until an
    order changes one."""
    word = new_word()
    return Mark(Words(word, word, word))


def had_no_order(mark: Mark | None) -> bool:
    """Whether no order changed the mark, or the mark is missing."""
    return mark is None or len(set(mark.words)) == 1


def ordered(mark: Mark | None, version: Version, *, is_hard: bool, new_word: NewWord) -> Mark:
    """The mark after an order (`version` None: an order about all versions)."""
    if mark is None:
        mark = new_mark(new_word)
    if version is not None:
        bound = _raised(mark.bound, version)
        hard_bound = _raised(mark.hard_bound, version) if is_hard else mark.hard_bound
        return Mark(mark.words._replace(named=new_word()), bound, hard_bound)
    if is_hard:
        return Mark(Words(new_word(), new_word(), new_word()))
    return mark._replace(words=mark.words._replace(soft=new_word()))


def with_mark(slot: Slot, new_word: NewWord) -> Slot:
    """The slot of a fetch or of a page, before it calls the API: a missing mark is made."""
    return slot._replace(mark=slot.mark or new_mark(new_word))


def verdict(slot: Slot, new: Facts, now: float) -> Verdict:
    """Whether a response may be stored in the slot. If the stored one was fetched under other hard
    words, the later start decides. A start in the future does not count: the clock was set back."""
    mark, stored, ours = slot.mark, slot.stored, new.ticket.training
    if mark is None or ours is None or None in new.ticket or ours.hard != mark.words.hard:
        return Verdict.OVERTAKEN
    if stored:
        is_ordered = stored.ticket.hard == new.ticket.hard  # by versions
        is_equal = stored.version == new.version or None in (stored.version, new.version)
        is_earlier = new.started < stored.started <= now + CLOCK_TOLERANCE
        if is_earlier and (is_equal or not is_ordered):
            return Verdict.OVERTAKEN
        if is_ordered and is_older(new.version, stored.version):
            return Verdict.OLDER
    return Verdict.OLDER if is_older(new.version, mark.bound) else Verdict.STORE


def store(
    slot: Slot, new: Facts, now: float, new_word: NewWord, believe_after: float | None
) -> Slot:
    """The slot after an answer of the API. It is stored exactly if the slot changed and has no
    refusal. `believe_after` None: it is an item of the list, and an older version in the list is no
    refusal, because the page may be old."""
    said = verdict(slot, new, now)
    if said is Verdict.STORE:
        return Slot(slot.mark, new)
    if said is Verdict.OVERTAKEN or believe_after is None:
        return slot
    return _refuse(slot, new, now, new_word, believe_after)


def confirm(slot: Slot, item: Facts) -> Slot:
    """The slot after an item of the list. The stored response is confirmed if it has the version of
    the item."""
    stored = slot.stored
    if stored is None or stored.version is None or item.version is None:
        return slot
    if stored.version == item.version and item.confirmed > stored.confirmed:
        return slot._replace(stored=replace(stored, confirmed=item.confirmed))
    return slot


def is_stored(before: Slot, after: Slot) -> bool:
    """Whether the answer was stored: `after` is the slot that `store` made of the slot `before`."""
    return after is not before and after.refusal is None


def told(before: Slot, after: Slot, new: Facts, now: float) -> StoreVerdict:
    """What became of an answer (see `is_stored`)."""
    said, stored = verdict(before, new, now), before.stored
    if not is_stored(before, after):
        if said is Verdict.OLDER:
            return StoreVerdict.OLDER
        is_known = stored and (stored.version, stored.ticket) == (new.version, new.ticket)
        return StoreVerdict.UNCHANGED if is_known else StoreVerdict.INVALIDATED
    if said is Verdict.OLDER:
        return StoreVerdict.BELIEVED
    everything, partition = (each and Mark(each) for each in new.ticket[:2])
    if state_of(new, Marks(everything, partition, after.mark)) is not State.CURRENT:
        return StoreVerdict.INVALIDATED
    if stored is None:
        return StoreVerdict.FIRST
    return StoreVerdict.UNCHANGED if stored.version == new.version else StoreVerdict.CHANGED


def _refuse(slot: Slot, new: Facts, now: float, new_word: NewWord, believe_after: float) -> Slot:
    """Note the refusal, or believe the version. Nothing is noted if an order changed the mark since
    the fetch read it. A refusal in the future does not count: the clock was set back."""
    mark, refusal, version = slot.mark, slot.refusal, new.version
    if mark is None or version is None or new.ticket.training != mark.words:
        return slot
    is_ahead = refusal and refusal.first > now + CLOCK_TOLERANCE
    if refusal and (is_older(version, refusal.version) or is_ahead):
        refusal = None
    if refusal is None or new.started - refusal.first < believe_after:
        return slot._replace(refusal=refusal or Refusal(version, now))
    words = mark.words._replace(soft=new_word())
    if is_older(version, mark.hard_bound):
        words = words._replace(hard=new_word())
    mark = Mark(words, _lowered(mark.bound, version), _lowered(mark.hard_bound, version))
    return Slot(mark, replace(new, ticket=new.ticket._replace(training=words)))


def _lowered(bound: Version, version: Instant) -> Version:
    return version if is_older(version, bound) else bound


def _raised(bound: Version, version: Instant) -> Instant:
    return version if bound is None else max(bound, version)
