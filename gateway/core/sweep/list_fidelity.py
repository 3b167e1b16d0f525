"""Whether the list's items are the bytes that single calls answer, and may be stored as such.

Until enough of them were the same in a row, and from the first that differs, the list confirms
versions and nothing else. Beside that the form of a training's bytes, apart from what it says:
members, their order, white space. Forms are sets of features, so that several make one known form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

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
