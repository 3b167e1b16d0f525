"""What a write changed, as the upstream's answer tells."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import VERSION_TOLERANCE
from gateway.core.cache.write_invalidation import Written, is_success, written
from gateway.core.http.fields import Reply
from gateway.core.instant import parse_instant, to_seconds
from gateway.core.upstream.training import Training, parse
from tests.unit.core.cache.test_policy import BODY

BASE = "https://api.test/v1"
VERSION = parse_instant("2025-01-01T00:00:00Z")
NOW = to_seconds(VERSION)


def changed(*headers: tuple[bytes, bytes], body: bytes = b"", target: str | None = "a") -> Written:
    """What a 200 to a write outdates."""
    return written(target, Reply(200, headers, body), BASE, NOW)


@pytest.mark.parametrize(("status", "success"), [(200, 1), (204, 1), (303, 1), (400, 0), (500, 0)])
def test_errors_change_nothing(status: int, success: int) -> None:
    """RFC 9111, 4.4: a non-error answer does."""
    assert is_success(Reply(status, (), b"")) == bool(success)


def test_the_target_is_outdated() -> None:
    """Whatever else is said."""
    assert changed() == Written(("a",))
    assert changed(target=None) == Written(())


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (b"https://api.test/v1/training/b", "b"),
        (b"/v1/training/b", "b"),
        (b"b", "b"),
        (b"/v1/training/b?x=y#z", "b"),
        (b"https://other.test/v1/training/b", None),
        (b"http://api.test/v1/training/b", None),
        (b"//other.test/v1/training/b", None),
        (b"/v1/training/b/draft", None),
        (b"/training/b", None),
        (b"https://[", None),
        (b"\xff", None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("field", [b"location", b"content-location"])
def test_what_the_answer_points_to_is_outdated(
    field: bytes, place: bytes, named: str | None
) -> None:
    """At the same origin alone: another's cannot speak for it."""
    ids = ("a",) if named is None else ("a", named)

    assert changed((field, place)).training_ids == ids


def test_the_training_in_the_body_is_outdated_below_its_version() -> None:
    """That one may be made by a write to the collection."""
    assert changed(body=BODY, target=None) == Written(("t1",), (("t1", VERSION),))
    assert changed(body=BODY, target="t1") == Written(("t1",), (("t1", VERSION),))
    assert changed(body=BODY.replace(b"t1", b"..x"), target=None).training_ids == ("..x",)


def test_a_body_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids of other things are in it, and wherever its own one is."""
    parsed: list[bytes] = []

    def note(body: bytes, expected_id: str | None) -> Training:
        parsed.append(body)
        return parse(body, expected_id)

    monkeypatch.setattr("gateway.core.cache.write_invalidation.parse", note)
    others = b", ".join(b'{"id": "s%d"}' % number for number in range(400))
    body = BODY.replace(b"{", b'{"steps": [' + others + b"], ", 1)

    assert changed(body=body, target=None) == Written(("t1",), (("t1", VERSION),))
    assert parsed == [body]


@pytest.mark.parametrize("training_id", [b"", b".", b"..", b"a/b", b"a" * 129])
def test_an_id_of_another_form_is_no_trainings(training_id: bytes) -> None:
    """No request could ask for it."""
    assert changed(body=BODY.replace(b"t1", training_id)) == Written(("a",))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "t1"}', b'{"id": "t1"', b"\xff"])
def test_a_body_that_is_no_training_says_nothing(body: bytes) -> None:
    """The target is outdated all the same."""
    assert changed(body=body) == Written(("a",))


def test_a_version_far_ahead_is_not_taken_at_its_word() -> None:
    """It would refuse all true ones."""
    reply = Reply(200, (), BODY)

    told = written("t1", reply, BASE, NOW - VERSION_TOLERANCE - 1.0)

    assert told == Written(("t1",))
