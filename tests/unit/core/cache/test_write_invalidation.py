"""What a write changed, as the upstream's answer tells."""

from __future__ import annotations

import pytest

from gateway.core.cache.write_invalidation import changed_trainings, is_success
from gateway.core.http.fields import Reply
from gateway.core.upstream.training import Training, parse
from tests.unit.core.cache.test_policy import BODY

BASE = "https://api.test/v1"


def changed(
    *headers: tuple[bytes, bytes], body: bytes = b"", target: str | None = "a"
) -> tuple[str, ...]:
    """What a 200 to a write outdates."""
    return changed_trainings(target, Reply(200, headers, body), BASE)


@pytest.mark.parametrize(("status", "success"), [(200, 1), (204, 1), (303, 1), (400, 0), (500, 0)])
def test_errors_change_nothing(status: int, success: int) -> None:
    """RFC 9111, 4.4: a non-error answer does."""
    assert is_success(Reply(status, (), b"")) == bool(success)


def test_the_target_is_outdated() -> None:
    """Whatever else is said."""
    assert changed() == ("a",)
    assert changed(target=None) == ()


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

    assert changed((field, place)) == ids


def test_the_training_in_the_body_is_outdated() -> None:
    """That one may be made by a write to the collection."""
    assert changed(body=BODY, target=None) == ("t1",)
    assert changed(body=BODY, target="t1") == ("t1",)
    assert changed(body=BODY.replace(b"t1", b"..x"), target=None) == ("..x",)


def test_a_body_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids of other things are in it, and wherever its own one is."""
    parsed: list[bytes] = []

    def note(body: bytes, expected_id: str | None) -> Training:
        parsed.append(body)
        return parse(body, expected_id)

    monkeypatch.setattr("gateway.core.cache.write_invalidation.parse", note)
    others = b", ".join(b'{"id": "s%d"}' % number for number in range(400))
    body = BODY.replace(b"{", b'{"steps": [' + others + b"], ", 1)

    assert changed(body=body, target=None) == ("t1",)
    assert parsed == [body]


@pytest.mark.parametrize("training_id", [b"", b".", b"..", b"a/b", b"a" * 129])
def test_an_id_of_another_form_is_no_trainings(training_id: bytes) -> None:
    """No request could ask for it."""
    assert changed(body=BODY.replace(b"t1", training_id)) == ("a",)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "t1"}', b'{"id": "t1"', b"\xff"])
def test_a_body_that_is_no_training_says_nothing(body: bytes) -> None:
    """The target is outdated all the same."""
    assert changed(body=body) == ("a",)
