"""Judging a body: hard rules refuse, soft rules note, bytes stay as they came."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import InvalidPayload
from gateway.core.instant import parse_instant
from gateway.core.upstream.training import MAX_DRIFT, MAX_MEMBERS, Drift, Training, digest, parse
from gateway.core.vocabulary import DriftKind, InvalidReason

ID = "trn_1"
UPDATED_AT = "2025-06-01T12:00:00.123456789+02:00"

Document = dict[str, object]

CURRENT: Document = {
    "id": ID,
    "title": "Refunds",
    "content": "Say: “within 14 days” 🙂",
    "draft_title": None,
    "draft_content": "Say nothing.",
    "type": "BEHAVIORAL",
    "is_draft": False,
    "directory_id": None,
    "restricted_to_channels": ["web", "web_voice"],
    "restricted_to_segments": ["vip"],
    "current_version": 3,
    "published_at": "2025-05-01T00:00:00Z",
    "created_at": "2025-01-01T00:00:00Z",
    "updated_at": UPDATED_AT,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def body_of(change: Mapping[str, object] | None = None, without: tuple[str, ...] = ()) -> bytes:
    """The current revision's bytes with some members changed, added or left out."""
    document = {k: v for k, v in {**CURRENT, **(change or {})}.items() if k not in without}
    return json.dumps(document).encode()


def with_members(members: str) -> bytes:
    """The smallest good body with further members, as JSON text, behind its own."""
    return f'{{"id":"{ID}","updated_at":"{UPDATED_AT}",{members}}}'.encode()


def refusal(body: bytes) -> InvalidReason:
    """Why a body is refused."""
    with pytest.raises(InvalidPayload) as caught:
        parse(body, ID)
    assert caught.value.what.isascii()
    assert len(caught.value.what) < 250
    return caught.value.invalid


def drift_of(body: bytes, kind: DriftKind) -> list[str]:
    """The fields that drifted in one way."""
    return [drift.field for drift in parse(body, ID).drift if drift.kind is kind]


def test_a_documented_training_is_read_without_drift() -> None:
    """The current revision gives its id, its version and its own bytes."""
    body = body_of()
    assert parse(body, ID) == Training(ID, parse_instant(UPDATED_AT), UPDATED_AT, body)


def test_any_id_will_do_where_none_is_expected() -> None:
    """An item of the list, or the answer to a creation, tells its id."""
    assert parse(body_of(), None).id == ID


@pytest.mark.parametrize(
    ("change", "without", "unknown", "missing"),
    [
        (
            {"question": "?", "answer": "!"},
            ("title", "content", "draft_title", "draft_content", "current_version", "published_at"),
            ["question", "answer"],
            ["title", "content", "draft_title", "draft_content", "current_version", "published_at"],
        ),
        (
            {},
            ("draft_title", "draft_content", "current_version", "published_at"),
            [],
            ["draft_title", "draft_content", "current_version", "published_at"],
        ),
        (
            {"metadata": {"a": [1, None]}, "start_time": None, "end_time": "2025-01-01T00:00:00Z"},
            (),
            ["metadata", "start_time", "end_time"],
            [],
        ),
        ({}, ("type",), [], ["type"]),
    ],
    ids=["question-answer", "early", "metadata", "typeless"],
)
def test_each_revision_is_accepted(
    change: Document, without: tuple[str, ...], unknown: list[str], missing: list[str]
) -> None:
    """Each documented form of the object is kept verbatim, and what differs is noted."""
    body = body_of(change, without)
    assert parse(body, ID).body == body
    assert drift_of(body, DriftKind.UNKNOWN_FIELD) == unknown
    assert drift_of(body, DriftKind.MISSING_FIELD) == missing
    assert drift_of(body, DriftKind.UNKNOWN_VALUE) == []


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"type": "SEASONAL"}, "type=SEASONAL"),
        ({"type": ""}, "type="),
        (
            {"restricted_to_channels": ["web", "telegram", "telegram"]},
            "restricted_to_channels=telegram",
        ),
        ({"restricted_to_channels": ["té\n"]}, r"restricted_to_channels=t\xe9\n"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"published_at": "2025-05-01"}, "published_at"),
    ],
)
def test_an_unknown_value_is_noted(change: Document, shown: str) -> None:
    """A new word of an enum, or a date in another form, is served and named once."""
    assert drift_of(body_of(change), DriftKind.UNKNOWN_VALUE) == [shown]


def test_what_is_noted_is_short_and_printable() -> None:
    """A field's name is upstream's to choose, a log line is ours."""
    (shown,) = drift_of(body_of({"ü\x00" * 500: 1}), DriftKind.UNKNOWN_FIELD)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 64


def test_drift_is_bounded() -> None:
    """Hundreds of unknown fields make a few notes."""
    body = body_of({f"field_{n}": n for n in range(900)})
    assert len(parse(body, ID).drift) == MAX_DRIFT


@pytest.mark.parametrize(
    ("change", "without", "reason"),
    [
        ({}, ("id",), InvalidReason.ID_MISSING),
        ({"id": "trn_2"}, (), InvalidReason.WRONG_ID),
        ({"id": "TRN_1"}, (), InvalidReason.WRONG_ID),
        ({"id": "x" * 10_000}, (), InvalidReason.WRONG_ID),
        ({"id": 1}, (), InvalidReason.WRONG_TYPE),
        ({"id": None}, (), InvalidReason.WRONG_TYPE),
        ({}, ("updated_at",), InvalidReason.UPDATED_AT_MISSING),
        ({"updated_at": None}, (), InvalidReason.UPDATED_AT_INVALID),
        ({"updated_at": 1748779200}, (), InvalidReason.UPDATED_AT_INVALID),
        ({"updated_at": "2025-06-01T12:00:00"}, (), InvalidReason.UPDATED_AT_INVALID),
        ({"updated_at": "2025-02-30T12:00:00Z"}, (), InvalidReason.UPDATED_AT_INVALID),
        ({"updated_at": "\ud83d" * 10_000}, (), InvalidReason.UPDATED_AT_INVALID),
    ],
)
def test_without_its_identity_it_is_refused(
    change: Document, without: tuple[str, ...], reason: InvalidReason
) -> None:
    """The id must be the one asked for, and updated_at a date-time with an offset."""
    assert refusal(body_of(change, without)) is reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", 7),
        ("title", None),
        ("content", ["a"]),
        ("draft_title", False),
        ("draft_content", {}),
        ("type", None),
        ("is_draft", "yes"),
        ("is_draft", 0),
        ("is_draft", None),
        ("directory_id", 4),
        ("restricted_to_channels", {}),
        ("restricted_to_channels", None),
        ("restricted_to_channels", ["web", 1]),
        ("restricted_to_segments", "vip"),
        ("restricted_to_segments", [None]),
        ("current_version", "3"),
        ("current_version", True),
        ("published_at", 1748779200),
        ("created_at", None),
    ],
)
def test_a_type_that_it_can_never_have_is_refused(field: str, value: object) -> None:
    """A documented field may be missing or say something new, not be something else."""
    assert refusal(body_of({field: value})) is InvalidReason.WRONG_TYPE


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", InvalidReason.TRUNCATED),
        (b" \n", InvalidReason.TRUNCATED),
        (body_of()[:-1], InvalidReason.TRUNCATED),
        (b'{"id":"tr', InvalidReason.TRUNCATED),
        ('{"title":"€'.encode()[:-1], InvalidReason.TRUNCATED),
        (with_members('"a":"\\ud83d')[:-1], InvalidReason.TRUNCATED),
        (b"<!doctype html><title>Just a moment...</title>", InvalidReason.NOT_JSON),
        (b"{'id':'trn_1'}", InvalidReason.NOT_JSON),
        (body_of() + b"{}", InvalidReason.NOT_JSON),
        (body_of() + b"\x00", InvalidReason.NOT_JSON),
        (b"\xef\xbb\xbf" + body_of(), InvalidReason.NOT_JSON),
        (with_members('"a":NaN'), InvalidReason.NOT_JSON),
        (with_members('"a":-Infinity'), InvalidReason.NOT_JSON),
        (with_members('"a":01'), InvalidReason.NOT_JSON),
        (with_members('"a":"\t"'), InvalidReason.NOT_JSON),
        (with_members('"a":"\\ud83"'), InvalidReason.NOT_JSON),
        (with_members('"a":[1,]'), InvalidReason.NOT_JSON),
        (with_members('"a":' + "[" * 100_000 + "]" * 100_000), InvalidReason.NOT_JSON),
        (b'{"a":"' + b"\xff" + b'"}', InvalidReason.NOT_UTF8),
        (b'{"a":"' + b"\xed\xa0\xbd" + b'"}', InvalidReason.NOT_UTF8),
        (body_of().decode().encode("utf-16"), InvalidReason.NOT_UTF8),
        (b"[]", InvalidReason.NOT_AN_OBJECT),
        (b"null", InvalidReason.NOT_AN_OBJECT),
        (b'"trn_1"', InvalidReason.NOT_AN_OBJECT),
        (b"7", InvalidReason.NOT_AN_OBJECT),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, reason: InvalidReason) -> None:
    """Cut short, not JSON, not UTF-8 and not an object are told apart."""
    assert refusal(body) is reason


@pytest.mark.parametrize(
    "member",
    [
        '"title":"half an emoji \\ud83d"',
        '"title":"\\ude42 the other half, and \\uD83D\\uD83D"',
        '"title":"a backslash: \\\\ud83d"',
        '"title":"a whole one: \\ud83d\\ude42, and \\u0000"',
        '"current_version":1e400',
        '"current_version":-' + "9" * 5000,
        '"current_version":1.50',
        '"metadata":' + '{"a":' * 100 + "1" + "}" * 100,
        '"\\ud83d":1',
    ],
)
def test_odd_json_is_json(member: str) -> None:
    """What RFC 8259 allows and some parsers refuse is served as it came."""
    body = with_members(member)
    assert parse(body, ID).body == body


def test_space_around_and_escapes_in_names_do_not_matter() -> None:
    """Names are compared as text, and white space means nothing."""
    body = f' {{ "\\u0069d" : "{ID}" ,\r\n\t"updated_at" : "{UPDATED_AT}" }} \n'.encode()
    assert parse(body, ID).body == body


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ('"id":"trn_2"', InvalidReason.WRONG_ID),
        ('"\\u0069d":"trn_2"', InvalidReason.WRONG_ID),
        ('"updated_at":"2030-01-01T00:00:00Z"', InvalidReason.UPDATED_AT_INVALID),
        ('"title":7,"title":"last wins"', InvalidReason.WRONG_TYPE),
    ],
)
def test_a_body_that_says_two_things_is_refused(member: str, reason: InvalidReason) -> None:
    """Where a name occurs twice, readers differ in which they take: each is judged."""
    assert refusal(with_members(member)) is reason


def test_two_ids_are_refused_where_none_is_expected() -> None:
    """A body with two ids is no training, whichever was meant."""
    with pytest.raises(InvalidPayload) as caught:
        parse(with_members('"id":"trn_2"'), None)
    assert caught.value.invalid is InvalidReason.WRONG_ID


def test_a_body_has_a_thousand_members_at_most() -> None:
    """Also if a name occurs again and again: each member takes time."""
    most = body_of({f"x{n}": n for n in range(MAX_MEMBERS - len(json.loads(body_of())))})

    assert parse(most, ID).body == most
    assert refusal(most[:-1] + b',"one_more":1}') is InvalidReason.TOO_MANY_MEMBERS
    assert refusal(with_members(",".join(['"x":1'] * 80_000))) is InvalidReason.TOO_MANY_MEMBERS
    cut = with_members('"a":"\\ud83d",' + ",".join(['"x":1'] * MAX_MEMBERS))
    assert refusal(cut) is InvalidReason.TOO_MANY_MEMBERS


def test_saying_the_same_twice_is_accepted() -> None:
    """A repetition that no reader can see does no harm."""
    body = with_members(f'"id":"{ID}","x":1,"x":2')
    assert drift_of(body, DriftKind.UNKNOWN_FIELD) == ["x"]


@given(st.integers(0, len(body_of()) - 1))
@example(1)
def test_a_body_cut_short_is_truncated(length: int) -> None:
    """Wherever it is cut, it is known for what it is."""
    assert refusal(body_of()[:length]) is InvalidReason.TRUNCATED


@given(st.dictionaries(st.text(), json_values, max_size=4), st.sets(st.sampled_from(list(CURRENT))))
def test_fields_may_come_and_go(added: Document, gone: set[str]) -> None:
    """Unknown fields of any form, and missing ones, never refuse a training."""
    new = {name: value for name, value in added.items() if name not in CURRENT}
    lost = gone - {"id", "updated_at"}
    text = json.dumps({**{k: v for k, v in CURRENT.items() if k not in lost}, **new})
    body = text.replace("NaN", "0").replace("-Infinity", "0").replace("Infinity", "0").encode()
    training = parse(body, ID)
    assert {Drift(DriftKind.MISSING_FIELD, name) for name in lost} <= set(training.drift)
    assert (training.body, training.id) == (body, ID)


def test_digest_tells_bodies_apart() -> None:
    """It is 32 hex digits of the bytes, the same in every process."""
    assert digest(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert digest(b"a") != digest(b"b")
    assert set(digest(body_of())) <= set(string.hexdigits.lower())
