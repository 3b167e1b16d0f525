"""Each error has one word, one status and, where it helps, a time to come back."""

from __future__ import annotations

import ast
import json

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError, UpstreamFailure
from gateway.core.vocabulary import AccessRefusal, FailureReason, InvalidReason, Problem
from gateway.web.problems import ProblemAnswer, problem_of
from tests.house.sources import sources

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
REASON = FailureReason.STATUS_5XX


def _errors() -> list[tuple[GatewayError, str, int, float | None]]:
    """Every error, its word, its status and its `retry_after`."""
    unreachable = errors.UpstreamUnreachable("x", FailureReason.CONNECT, sent=False)
    late = errors.UpstreamTimeout("x", FailureReason.READ_TIMEOUT, sent=True)
    failed = errors.UpstreamError("x", REASON, status=500)
    waits = errors.UpstreamError("x", REASON, status=503, retry_after=7.0)
    elsewhere = errors.FailedElsewhere(REASON, status=503, retry_after=7.0)
    doubted = errors.VersionDoubted("x", REASON, status=200)
    limited = errors.UpstreamRateLimited("x", retry_after=12.0)
    vague = errors.UpstreamRateLimited("x", retry_after=None)
    missing = errors.AccessRefused(AccessRefusal.CREDENTIAL_MISSING)
    malformed = errors.AccessRefused(AccessRefusal.CREDENTIAL_MALFORMED)
    unknown = errors.AccessRefused(AccessRefusal.CREDENTIAL_UNKNOWN)
    return [
        (errors.ClientRateLimited(2.5), "client-rate-limited", 429, 2.5),
        (errors.BadId("x"), "bad-id", 400, None),
        (errors.BadRequest("x"), "bad-request", 400, None),
        (errors.TooLarge("x"), "too-large", 413, None),
        (missing, "credential-missing", 401, None),
        (malformed, "credential-unknown", 401, None),
        (errors.BearerMissing(), "credential-missing", 401, None),
        (errors.AdminTokenUnset(missing.reason), "credential-missing", 401, None),
        (errors.AdminTokenUnset(unknown.reason), "credential-unknown", 401, None),
        (unknown, "credential-unknown", 401, None),
        (errors.NotPermitted("pipeline", frozenset(), None), "not-permitted", 403, None),
        (errors.VersionNotReached("2", "1", retry_after=1.5), "version-not-reached", 412, 1.5),
        (errors.InvalidPayload(InvalidReason.NOT_JSON, "x"), "upstream-invalid", 502, None),
        (errors.InvalidPayload(InvalidReason.TOO_LARGE, "x"), "upstream-invalid", 502, None),
        (failed, "upstream-error", 502, None),
        (waits, "upstream-error", 502, 7.0),
        (elsewhere, "upstream-error", 502, 7.0),
        (doubted, "upstream-error", 502, None),
        (unreachable, "upstream-unreachable", 502, None),
        (errors.UpstreamRefused("x", status=401), "upstream-refused", 502, None),
        (limited, "upstream-rate-limited", 503, 12.0),
        (vague, "upstream-rate-limited", 503, 1.0),
        (errors.BudgetExhausted("x", retry_after=3.0), "budget-exhausted", 503, 3.0),
        (errors.GateClosed("x", retry_after=4.0), "upstream-rate-limited", 503, 4.0),
        (errors.Frozen("x", retry_after=30.0), "frozen", 503, 30.0),
        (errors.CircuitOpen("x", retry_after=5.0), "upstream-unavailable", 503, 5.0),
        (errors.NoRoom("x"), "too-many-connections", 503, 1.0),
        (errors.ShuttingDown(), "shutting-down", 503, 1.0),
        (errors.RedisUnavailable("lookup", "x"), "redis-unavailable", 503, 1.0),
        (late, "upstream-timeout", 504, None),
        (errors.OnlyIfCached(), "only-if-cached", 504, None),
        (GatewayError(), "internal", 500, None),
    ]


@pytest.mark.parametrize(("error", "word", "status", "retry_after"), _errors())
def test_an_error_has_its_word(
    error: GatewayError, word: str, status: int, retry_after: float | None
) -> None:
    """As the contract's table says."""
    answer = problem_of(error)

    assert (answer.problem, answer.status, answer.retry_after) == (word, status, retry_after)
    assert answer.detail


def test_no_error_of_the_house_is_left_out() -> None:
    """A new one needs its word here first; what only groups others, or is never told to
    a caller, has none of its own."""
    groups = {UpstreamFailure, errors.CallWithheld, errors.ListRefused}
    known = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, GatewayError)
    }

    assert known - groups == {type(error) for error, *_ in _errors()}


def test_callers_read_of_the_api() -> None:
    """No problem calls it the upstream, as the code does: callers do not know that word."""
    answers = [problem_of(error) for error, *_ in _errors()]
    problems = [json.loads(answer.body("r-1")) for answer in answers]
    told = [each[part] for each in problems for part in ("title", "detail")]

    assert [text for text in [*told, *_texts_of_errors()] if "upstream" in text] == []


def _texts_of_errors() -> list[str]:
    """The texts with which the gateway raises errors whose `what` is shown to callers."""
    shown = {"BadRequest", "BadId", "TooLarge", "NoRoom"}
    shown |= {kind.__name__ for kind in errors.CallWithheld.__subclasses__()}
    return [
        str(node.args[0].value)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
        if node.func.id in shown and isinstance(node.args[0], ast.Constant)
    ]


@pytest.mark.parametrize("word", list(Problem))
def test_each_word_makes_a_whole_problem(word: Problem) -> None:
    """Type, status, title, detail and request id (RFC 9457), and a status that is an error."""
    problem = json.loads(ProblemAnswer(word, "why").body("r-1"))

    assert problem.keys() == {"type", "status", "title", "detail", "request_id"}
    assert problem["type"] == f"urn:gateway:problem:{word}"
    assert 400 <= problem["status"] < 600
    assert (problem["detail"], problem["request_id"]) == ("why", "r-1")


def test_the_fields_of_a_problem() -> None:
    """Typed, dated, not to be stored, and without `Retry-After` where nothing is known."""
    headers = dict(ProblemAnswer(Problem.BAD_ID, "why").headers("r-1", DATE, 42))

    assert headers == {
        b"content-type": b"application/problem+json",
        b"content-length": b"42",
        b"cache-control": b"no-store",
        b"date": DATE.encode(),
        b"x-request-id": b"r-1",
    }


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (59.5, b"60")]
)
def test_retry_after_is_never_too_early(seconds: float, said: bytes) -> None:
    """Whole seconds, rounded up, one at least."""
    answer = ProblemAnswer(Problem.BUDGET_EXHAUSTED, "why", seconds)

    assert dict(answer.headers("r-1", DATE, 1))[b"retry-after"] == said


@pytest.mark.parametrize("reason", list(AccessRefusal))
def test_a_refused_caller_is_challenged(reason: AccessRefusal) -> None:
    """401 is never without `WWW-Authenticate` (RFC 9110, 15.5.2)."""
    answer = problem_of(errors.AccessRefused(reason))

    assert answer.status == 401
    assert (b"www-authenticate", b"Bearer") in answer.headers("r-1", DATE, 1)


def test_a_refusal_that_no_token_can_end_says_so() -> None:
    """The admin plane on another host than loopback, and no token configured."""
    refused = errors.AdminTokenUnset(AccessRefusal.CREDENTIAL_UNKNOWN)

    assert "no `admin.token` is configured" in problem_of(refused).detail
