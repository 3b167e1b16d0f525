"""Orders as operators write them: what is understood, and what is refused with a reason."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.core.instant import parse_instant
from gateway.ports import Confirmations
from gateway.web.admin.orders import (
    MAX_IDS,
    InvalidateOrder,
    PurgeOrder,
    invalidate_order,
    purge_order,
    receipt_of,
)

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z
PARTITION = "0123456789abcdef" * 2


def test_trainings_are_invalidated_wholly() -> None:
    """Without `updated_at` all versions are meant; an id that is named twice is one."""
    order = invalidate_order(b'{"ids": ["a", "B.9_~-", "a"]}', NOW)

    assert order == InvalidateOrder(("a", "B.9_~-"), None)


def test_an_order_may_leave_what_it_rules_out_for_rescue() -> None:
    """Soft has to be said, and with true or false alone."""
    assert invalidate_order(b'{"ids": ["a"], "soft": true}', NOW).soft
    assert not invalidate_order(b'{"ids": ["a"], "soft": false}', NOW).soft
    for word in ("null", "1", '"true"', '"soft"'):
        with pytest.raises(BadRequest, match="soft"):
            invalidate_order(f'{{"ids": ["a"], "soft": {word}}}'.encode(), NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2023-11-14T20:00:00Z", "2023-11-14T20:00:00Z"),
        ("2023-11-14T21:00:00.000000001+01:00", "2023-11-14T20:00:00.000000001Z"),
        ("2023-11-14T22:18:20Z", "2023-11-14T22:18:20Z"),
    ],
)
def test_versions_are_bounded_by_a_date_time(text: str, instant: str) -> None:
    """With any offset, to the nanosecond, and up to five minutes ahead."""
    body = json.dumps({"ids": ["a"], "updated_at": text}).encode()

    assert invalidate_order(body, NOW).updated_at == parse_instant(instant)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2023-11-14", "2023-11-14T20:00:00", "2023-02-30T00:00:00Z"),
        *("1700000000", "2023-11-14T22:18:20.000000001Z", "9999-12-31T23:59:59Z", "\ud800"),
    ],
)
def test_another_bound_is_refused(text: str) -> None:
    """No date-time, one without an offset, no such day, or more than five minutes ahead."""
    body = json.dumps({"ids": ["a"], "updated_at": text}).encode()

    with pytest.raises(BadRequest, match=r"updated_at|has to be"):
        invalidate_order(body, NOW)


@pytest.mark.parametrize("count", [1, MAX_IDS])
def test_a_thousand_ids_are_one_order(count: int) -> None:
    """As many as are understood at once."""
    body = json.dumps({"ids": [f"t{number}" for number in range(count)]}).encode()

    assert len(invalidate_order(body, NOW).training_ids) == count


@pytest.mark.parametrize("ids", [[], ["a"] * (MAX_IDS + 1)], ids=["none", "too many"])
def test_no_id_or_too_many_are_refused(ids: list[str]) -> None:
    """What names nothing must not mean everything."""
    with pytest.raises(BadRequest, match="ids"):
        invalidate_order(json.dumps({"ids": ids}).encode(), NOW)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "a\n", "x" * 129, "*"])
def test_what_is_no_id_is_refused(name: str) -> None:
    """By the grammar of paths, and the id is named; one bad id spoils the order."""
    with pytest.raises(BadRequest, match=r"ids: .*an id has"):
        invalidate_order(json.dumps({"ids": ["a", name]}).encode(), NOW)


@pytest.mark.parametrize(
    ("body", "order"),
    [
        (b"{}", PurgeOrder(None, soft=False)),
        (b' {"soft": true}\n', PurgeOrder(None, soft=True)),
        (f'{{"partition": "{PARTITION}"}}'.encode(), PurgeOrder(PARTITION, soft=False)),
        (f'{{"partition": "{PARTITION}", "soft": true}}'.encode(), PurgeOrder(PARTITION, True)),
    ],
)
def test_what_is_purged(body: bytes, order: PurgeOrder) -> None:
    """Everything, or a partition; softly only if told."""
    assert purge_order(body) == order


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"true", b'"soft"', b"{", b"{} {}", b"\xef\xbb\xbf{}", b"{'a':1}"),
        *(b'{"soft": "true"}', b'{"soft": 1}', b'{"soft": null}', b'{"Soft": true}'),
        *(b'{"partition": null}', b'{"partition": ""}', b'{"partition": 1}'),
        *(b'{"partition": "*"}', b'{"partition": "p1"}', b'{"partitions": []}'),
        f'{{"partition": "{PARTITION.upper()}"}}'.encode(),
        b'{"\xff": 1}',
        b'{"soft": false, "soft": true}',
        b'{"partition": "%s", "partition": "%s"}' % (PARTITION.encode(), PARTITION[::-1].encode()),
        b'{"a": ' + b"[" * 20_000,
    ],
)
def test_what_is_not_understood_purges_nothing(body: bytes) -> None:
    """Unknown names, wrong types, null, nothing at all: refused, with a bounded reason."""
    with pytest.raises(BadRequest) as refused:
        purge_order(body)

    assert 0 < len(refused.value.what) < 400


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b'["a"]', b'{"ids": "a"}', b'{"ids": [1]}', b'{"ids": [null]}'),
        *(b'{"ids": null}', b'{"id": "a"}', b'{"ids": ["a"], "updated_at": null}'),
        *(b'{"ids": ["a"], "ids": ["b"]}', b'{"ids": ["a"], "soft": true, "s\\u006fft": true}'),
        *(b'{"ids": ["a"], "updated_at": 1700000000}', b'{"ids": ["a"], "hard": true}'),
        b'{"ids": ["a"], "' + b"x" * 9_000 + b'": 1}',
        b'{"ids": ["' + b"x" * 9_000 + b'"]}',
    ],
)
def test_what_is_not_understood_invalidates_nothing(body: bytes) -> None:
    """A name that was mistyped would else widen the order to all versions."""
    with pytest.raises(BadRequest) as refused:
        invalidate_order(body, NOW)

    assert 0 < len(refused.value.what) < 400


@given(st.binary(max_size=60) | st.from_regex(rb'\{"(ids|soft|partition)": .{0,20}\}'))
def test_any_body_is_an_order_or_a_bad_request(body: bytes) -> None:
    """Nothing else is raised, whatever is posted, and what was wrong can be told as JSON."""
    for read in (purge_order, lambda body: invalidate_order(body, NOW)):
        try:
            read(body)
        except BadRequest as error:
            msgspec.json.encode(error.what)


def test_a_receipt_counts_the_replicas() -> None:
    """All have confirmed: the count says it all."""
    receipt = receipt_of(Confirmations(known=3, confirmed=3))

    assert receipt.is_complete
    assert json.loads(msgspec.json.encode(receipt)) == {"replicas": {"known": 3, "confirmed": 3}}


def test_a_receipt_says_what_bounds_the_rest() -> None:
    """Some have not: how many, and the setting after which they ask."""
    receipt = receipt_of(Confirmations(known=3, confirmed=2, until=1_700_000_000.25))

    assert not receipt.is_complete
    assert receipt.until == "2023-11-14T22:13:21Z"
    assert receipt.bounded_by == "l1.lifetime"
    assert receipt.detail is not None
    assert receipt.detail.startswith("2 of 3 replicas confirmed")
    assert "l1.lifetime" in receipt.detail
    assert receipt.until in receipt.detail
