"""Which heads are plain questions, and what they ask."""

from __future__ import annotations

import pytest

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.web.wire.hot_path import Asked, plain

HOST = (b"host", b"a")
TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
CALLER = Caller("passthrough", "default", "p1", "default", "t-1", owns_token=True)


def asked(
    *fields: tuple[bytes, bytes], target: bytes = b"/training/trn_1", method: bytes = b"GET"
) -> Asked | None:
    """What a head with a host asks."""
    forwarded = frozenset((b"x-extra",))
    return plain(method, target, [HOST, *fields], forwarded, heeds_directives=True)


def test_a_head_says_all_that_an_answer_depends_on() -> None:
    """Credential, condition, ids; what is sent on, and that nothing may be fetched."""
    question = asked(
        (b"authorization", b"Bearer t-1"),
        (b"if-none-match", b'"a"'),
        (b"cache-control", b"only-if-cached"),
        (b"x-request-id", b"mine"),
        (b"traceparent", TRACE),
        (b"x-extra", b" 1 "),
    )

    assert question is not None
    assert (question.training_id, question.is_head) == ("trn_1", False)
    said = question.said
    assert (said.sent, said.tag, said.since) == (b"Bearer t-1", b'"a"', None)
    assert (said.request_id, said.trace_id) == (b"mine", "a" * 32)
    ask = said.ask(CALLER, "trn_1")
    assert ask.key == Key("p1", "trn_1")
    assert ask.only_if_cached
    assert ask.extra == ((b"traceparent", TRACE), (b"x-extra", b"1"))


def test_what_is_new_with_each_request_can_be_left_out() -> None:
    """Of a copy: the one that was parsed says what it did."""
    question = asked((b"x-request-id", b"mine"), (b"traceparent", TRACE), (b"if-none-match", b"*"))

    assert question is not None
    bare = question.said.without_cut_values()
    assert (bare.request_id, bare.traceparent, bare.tag, bare.extra) == (None,) * 4
    assert (question.said.request_id, question.said.tag) == (b"mine", b"*")
    assert question.said.ask(CALLER, "a").extra == ((b"traceparent", TRACE),)


@pytest.mark.parametrize(
    "field",
    [
        *((b"content-length", b"0"), (b"transfer-encoding", b"chunked"), (b"te", b"trailers")),
        *((b"upgrade", b"h2c"), (b"expect", b"100-continue"), (b"trailer", b"x"), HOST),
        *((b"connection", b"close"), (b"connection", b"keep-alive, x-extra")),
    ],
)
def test_what_wants_more_than_an_answer_is_not_plain(field: tuple[bytes, bytes]) -> None:
    """Bodies, other protocols, an end of the connection, a name that comes twice."""
    assert asked(field) is None


def test_a_connection_that_is_to_be_kept_is_plain() -> None:
    """As old clients say it."""
    assert asked((b"connection", b"Keep-Alive")) is not None


@pytest.mark.parametrize(
    "target",
    [
        *(b"/training/", b"/training/.", b"/training/..", b"/training/a/b", b"/training/%61"),
        *(b"/training/a?b", b"/livez", b"/training/" + b"a" * 129, b"/training/a\n"),
    ],
)
def test_another_target_is_not_plain(target: bytes) -> None:
    """Whatever has to be decoded, refused or routed."""
    assert asked(target=target) is None


@pytest.mark.parametrize("target", [b"/training/...", b"/training/.a", b"/training/" + b"a" * 128])
def test_every_id_is_plain(target: bytes) -> None:
    """As long as it needs no decoding."""
    assert asked(target=target) is not None


def test_another_method_or_host_is_not_plain() -> None:
    """Nor is no host, or one that is none."""
    assert asked(method=b"PUT") is None
    for fields in ([], [(b"host", b"a b")]):
        assert plain(b"GET", b"/training/a", fields, frozenset(), heeds_directives=True) is None


@pytest.mark.parametrize("directive", [b"no-cache", b"max-age=0", b"max-stale, only-if-cached"])
def test_a_request_with_directives_is_not_plain(directive: bytes) -> None:
    """Unless directives are not heard."""
    control = (b"cache-control", directive)

    assert asked(control) is None
    assert asked((b"cache-control", b"private")) is not None
    assert plain(b"GET", b"/training/a", [HOST, control], frozenset(), heeds_directives=False)
