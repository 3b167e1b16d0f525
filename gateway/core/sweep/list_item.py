"""What a page of the list says of one training: which version there is, and when that was so. Also
whether it says what single calls answer: in its bytes, and in the versions that it claims.

Bytes: until enough of its items were the same in a row, and from the first that differs, the list
confirms versions and nothing else. Beside that the form of a training's bytes, apart from what it
says: members, their order, white space. Forms are sets of features, so that several make one known
form.

Versions: a claim is the version that an item has. Here is which one is believed, asked about, or
ignored after single answers contradicted it. Bounded; forgetting a contradiction costs a call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final

from cachetools import FIFOCache

from gateway.core.cache.entry import VERSION_TOLERANCE, Confirmation
from gateway.core.cache.policy import JITTER, Windows, date_of
from gateway.core.http.fields import Reply, delta_seconds
from gateway.core.instant import Instant, from_seconds
from gateway.core.upstream.training import Training, digest

_FOUND: Final = 200


class ListVerdict(StrEnum):
    """What a page of the list said of a training, held against what is known of it."""

    UNKNOWN = "unknown"  # nothing is known of it
    CONFIRMED = "confirmed"  # the version known: renewed
    NEWER = "newer"  # a later version, or one of what was gone: the floor is raised
    DOUBTFUL = "doubtful"  # an older version, or one far ahead: a single call has to tell
    CONTRADICTED = "contradicted"  # the list is not believed about it; a single call may tell
    PASSED = "passed"  # something was learnt, or ordered, since the page was asked for


@dataclass(frozen=True, slots=True)
class Listed:
    """One item, as far as what is stored of it is concerned; fields as in `Entry`.

    `confirmed_at` is when the page was asked for; `digest` is of the item's own bytes.
    """

    training_id: str
    updated_at: Instant
    digest: str
    date: str
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float

    @property
    def is_ahead(self) -> bool:
        """Whether its version was far in the future when it was listed."""
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def confirmation(self, generation: int) -> Confirmation:
        """What it renews of an entry of that generation: its times, not its header fields."""
        return Confirmation(
            status=_FOUND,
            headers=None,
            date=self.date,
            confirmed_at=self.confirmed_at,
            initial_age=self.initial_age,
            freshness_lifetime=self.freshness_lifetime,
            generation=generation,
        )


def listed(
    training: Training, reply: Reply, asked_at: float, windows: Windows, jitter: float
) -> Listed:
    """What the item says, of a page asked for at that time (the shared clock).

    As with single answers, freshness counts from the moment the call was sent.
    """
    return Listed(
        training_id=training.id,
        updated_at=training.updated_at,
        digest=digest(training.body),
        date=date_of(reply, asked_at),
        confirmed_at=asked_at,
        initial_age=delta_seconds(reply.header(b"age")),
        freshness_lifetime=windows.lifetime * (1.0 - JITTER * jitter),
    )


Feature = tuple[object, ...]
Shape = frozenset[Feature]

_TOKEN: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[ \t\r\n]+|[^ \t\r\n"{}\[\],:]+', re.DOTALL
)
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_DIGIT: Final = re.compile(rb"[0-9]")
_TIME: Final = re.compile(rb'"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][^"]{1,40}"')
# Written as they are or escaped, as the writer likes.
_EITHER_WAY: Final = (b"/", b"<", b">", b"&", b"'")


def shape_of(body: bytes) -> Shape:
    """The form of one JSON object, in features; bodies that were judged before."""
    features: set[Feature] = set()
    names: list[bytes] = []
    depth, before, gap, latest = 0, b"", b"", b""
    for match in _TOKEN.finditer(body):
        token = match.group()
        if token.isspace():
            gap = token
            continue
        kind = token if token in b"{}[],:" else b"v"
        features.add(("gap", depth, before, gap, kind))
        if token == b":" and depth == 1:
            names.append(latest)
        elif before == b":" and depth == 1:
            after = body[match.end() : match.end() + 1]
            features.add(("value", names[-1], _value(token, after)))
        if kind == b"v" and token.startswith(b'"'):
            features |= _writing(token)
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        before, gap, latest = kind, b"", token
    features.add(("members", *names))
    return frozenset(features)


def _value(token: bytes, after: bytes) -> bytes:
    """How a value is written, and whether there is anything in it."""
    if token.startswith(b'"'):
        if _TIME.fullmatch(token):
            return _DIGIT.sub(b"0", token)
        return b'""' if token == b'""' else b'"'
    if token in (b"[", b"{"):
        return token + after if after in (b"]", b"}") else token
    if token in (b"true", b"false"):
        return b"flag"
    return token if token == b"null" else bytes(sorted(set(_DIGIT.sub(b"", token))))


def _writing(text: bytes) -> set[Feature]:
    """Which characters are written as they are, and which are escaped, and how."""
    features: set[Feature] = {("as it is", each) for each in _EITHER_WAY if each in text}
    if not text.isascii():
        features.add(("as it is", "beyond ASCII"))
    for code, char in _ESCAPE.findall(text) if b"\\" in text else ():
        features.add(("escaped", _class(code) if code else char))
    return features


def _class(code: bytes) -> bytes:
    """Which kind of character it stands for, and in which case its digits are."""
    number = int(code, 16)
    case = b"X" if code != code.lower() else b"x" if code != code.upper() else b""
    if number < 0x80:
        return b"%04x" % number + case
    return b"beyond ASCII" + case


# Features that are remembered; an upstream that has more is asked singly for the rest.
_MOST: Final = 1_000


class Forms:
    """The form of what single calls answered, learnt from items that were the same bytes."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[Feature] = set()

    def learn(self, body: bytes) -> None:
        """A single call answered these bytes."""
        if len(self._seen) < _MOST:
            self._seen |= shape_of(body)

    def cover(self, body: bytes) -> bool:
        """Whether nothing about its form is new."""
        return shape_of(body) <= self._seen


# Items in a row that have to be byte for byte what a single call answered.
ENOUGH: Final = 20
# Of the items that are stored, one in so many is checked by a single call.
CHECK_EVERY: Final = 50


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is known of it; `stopped`: it was relied upon, and was wrong."""

    same: int = 0
    filled: int = 0
    stopped: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether an item may stand for a single answer."""
        return self.same >= ENOUGH and not self.stopped

    def compared(self, *, same: bool) -> Likeness:
        """After one item was held against the single answer of the same version."""
        if same:
            return replace(self, same=min(self.same + 1, ENOUGH))
        return replace(self, same=0, stopped=self.stopped or self.is_proven)

    def after_filling(self, count: int) -> tuple[Likeness, int]:
        """After so many items were stored, and how many of them are to be checked."""
        filled = self.filled + count
        due = filled // CHECK_EVERY - self.filled // CHECK_EVERY
        return replace(self, filled=filled), due


UNPROVEN: Final = Likeness()


Claims = frozenset[Instant]

# Trainings, and the claims of each, that are remembered.
_MOST_TRAININGS: Final = 10_000
_MOST_CLAIMS: Final = 4


class Belief(Enum):
    """What to do with the claims of a page about one training."""

    BELIEVED = "believed"
    ASKED = "asked"  # a single call tells
    IGNORED = "ignored"  # a single call told, and the claims are the same


@dataclass(frozen=True, slots=True)
class _Contradiction:
    """`wrong` are the claims that single answers contradicted, `answered` is the version of the
    last single answer, `sweep` the number of the last sweep that contradicted it."""

    wrong: tuple[Instant, ...]
    answered: Instant | None
    sweep: int


class Contradictions:
    """Those of one partition."""

    def __init__(self, most: int = _MOST_TRAININGS) -> None:
        self._known: FIFOCache[str, _Contradiction] = FIFOCache(most)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, training_id: str) -> bool:
        return training_id in self._known

    def belief(self, training_id: str, claims: Claims, sweep: int) -> Belief:
        """What to do with the claims of a page of that sweep. The list is believed about a
        training again once it has agreed with single answers for a whole sweep."""
        known = self._known.get(training_id)
        if known is None:
            return Belief.BELIEVED if len(claims) == 1 else Belief.ASKED
        wrong = claims - {known.answered}
        if not wrong <= set(known.wrong):
            return Belief.ASKED
        if wrong:
            self._known[training_id] = replace(known, sweep=sweep)
        elif sweep > known.sweep + 1:
            del self._known[training_id]
            return Belief.BELIEVED
        return Belief.IGNORED

    def answered(
        self, training_id: str, claims: Claims, version: Instant | None, sweep: int
    ) -> bool:
        """Note what a single answer said after the claims of a page of that sweep (None: there is
        no such training); whether it contradicts them."""
        wrong, known = claims - {version}, self._known.get(training_id)
        before = () if known is None else known.wrong
        if wrong or known is not None:
            kept = (*sorted(wrong), *(each for each in before if each not in claims))
            last = sweep if wrong or known is None else known.sweep
            self._known[training_id] = _Contradiction(kept[:_MOST_CLAIMS], version, last)
        return bool(wrong)
