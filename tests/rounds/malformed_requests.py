"""Requests that cannot be right, as many as are asked for, the same ones for the same seed.

Each has one defect somewhere in an otherwise good request, so that nothing else refuses it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Lines = list[bytes]
Defect = Callable[[random.Random, Lines], bytes]

_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH")
_TARGETS = (b"/", b"/livez", b"/training/trn_000001", b"/status", b"/purge", b"/explain/a?b=c")
_FIELDS = (
    *(b"Accept: */*", b"X-Request-ID: abc", b"Cache-Control: no-cache", b"User-Agent: x/1"),
    *(b"Authorization: Bearer demo-token", b"If-None-Match: *", b"Content-Type: application/json"),
)
# Everything that no value may hold; a tab may stand in one.
_CONTROLS = bytes(each for each in (*range(0x20), 0x7F) if each not in b"\t\r\n")
_NO_TOKEN = b'()<>@,;\\"/[]?={} \t' + _CONTROLS


def malformed(count: int, seed: int = 1) -> Iterator[bytes]:
    """So many requests, each with a defect taken in turn."""
    chance = random.Random(seed)
    for number in range(count):
        yield _DEFECTS[number % len(_DEFECTS)](chance, _good(chance))


def _good(chance: random.Random) -> Lines:
    """The lines of a sound head: the request line, Host, and a few fields."""
    line = b"%s %s HTTP/1.1" % (chance.choice(_METHODS), chance.choice(_TARGETS))
    return [line, b"Host: localhost", *chance.sample(_FIELDS, chance.randrange(5))]


def _whole(lines: Lines, body: bytes = b"") -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _somewhere(chance: random.Random, lines: Lines, line: bytes) -> Lines:
    at = chance.randrange(1, len(lines) + 1)
    return [*lines[:at], line, *lines[at:]]


def _bytes(chance: random.Random, among: bytes) -> bytes:
    return bytes([chance.choice(among)])


def _no_host(chance: random.Random, lines: Lines) -> bytes:
    return _whole([lines[0], *lines[2:]])


def _two_hosts(chance: random.Random, lines: Lines) -> bytes:
    return _whole(_somewhere(chance, lines, chance.choice((b"host: localhost", b"HOST: b"))))


def _bad_host(chance: random.Random, lines: Lines) -> bytes:
    lines[1] = b"Host: a" + _bytes(chance, b' /\\<>"{}|^`@?#') + b"b"
    return _whole(lines)


def _two_authorizations(chance: random.Random, lines: Lines) -> bytes:
    mine = [line for line in lines if not line.startswith(b"Authorization")]
    return _whole([*mine, b"Authorization: Bearer a", b"authorization: Bearer b"])


def _control_in_value(chance: random.Random, lines: Lines) -> bytes:
    value = b"X: a" + _bytes(chance, _CONTROLS) + b"b"
    return _whole(_somewhere(chance, lines, value))


def _odd_name(chance: random.Random, lines: Lines) -> bytes:
    name = b"X" + _bytes(chance, _NO_TOKEN + bytes(range(0x80, 0x100)))
    return _whole(_somewhere(chance, lines, name + b"y: a"))


def _space_before_colon(chance: random.Random, lines: Lines) -> bytes:
    return _whole(_somewhere(chance, lines, b"X" + chance.choice((b" ", b"\t")) + b": a"))


def _folded(chance: random.Random, lines: Lines) -> bytes:
    return _whole([*lines, b"X: a", chance.choice((b" ", b"\t", b" X: ")) + b"b"])


def _bare_ending(chance: random.Random, lines: Lines) -> bytes:
    at = chance.randrange(len(lines))
    lines[at] += chance.choice((b"\n", b"\r", b"\r\r")) + b"X: a"
    return _whole(lines)


def _no_colon(chance: random.Random, lines: Lines) -> bytes:
    return _whole(_somewhere(chance, lines, b"X" * chance.randrange(1, 50)))


def _odd_target(chance: random.Random, lines: Lines) -> bytes:
    method = lines[0].partition(b" ")[0]
    target = chance.choice((b"livez", b"*", b"a:1", b"ftp://a/", b"/a#b", b"/\x7f", b"http://u@a/"))
    return _whole([b"%s %s HTTP/1.1" % (method, target), *lines[1:]])


def _odd_version(chance: random.Random, lines: Lines) -> bytes:
    version = chance.choice((b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/11", b"http/1.1", b"X"))
    return _whole([lines[0].rpartition(b" ")[0] + b" " + version, *lines[1:]])


def _odd_method(chance: random.Random, lines: Lines) -> bytes:
    return _whole([chance.choice((b"get", b"G\0T", b"FROB", b"GET,")) + lines[0][3:], *lines[1:]])


def _odd_length(chance: random.Random, lines: Lines) -> bytes:
    length = chance.choice((b"-1", b"+1", b"1 1", b"1,1", b"0x1", b"1.0", b"a", b"9" * 25, b""))
    return _whole([*lines, b"Content-Length: " + length], b"x")


def _two_framings(chance: random.Random, lines: Lines) -> bytes:
    pair = [b"Content-Length: 5", b"Transfer-Encoding: chunked"]
    chance.shuffle(pair)
    return _whole([*lines, *pair], b"0\r\n\r\n")


def _two_lengths(chance: random.Random, lines: Lines) -> bytes:
    return _whole([*lines, b"Content-Length: 1", b"content-length: %d" % chance.randrange(9)], b"x")


def _odd_coding(chance: random.Random, lines: Lines) -> bytes:
    codings = (b"gzip", b"chunked, gzip", b"gzip, chunked", b"xchunked", b"chunked, chunked", b"")
    return _whole([*lines, b"Transfer-Encoding: " + chance.choice(codings)], b"0\r\n\r\n")


def _large(chance: random.Random, lines: Lines) -> bytes:
    size = chance.randrange(17_000, 40_000)
    return _whole(_somewhere(chance, lines, b"X: " + b"a" * size))


def _many(chance: random.Random, lines: Lines) -> bytes:
    return _whole([*lines, *[b"X: a"] * chance.randrange(101, 300)])


def _noise(chance: random.Random, lines: Lines) -> bytes:
    return b"\x16" + chance.randbytes(chance.randrange(1, 400))


_DEFECTS: tuple[Defect, ...] = (
    *(_no_host, _two_hosts, _bad_host, _two_authorizations, _control_in_value, _odd_name),
    *(_space_before_colon, _folded, _bare_ending, _no_colon, _odd_target, _odd_version),
    *(_odd_method, _odd_length, _two_framings, _two_lengths, _odd_coding, _large, _many, _noise),
)
