"""What operators order through the admin plane, who may, and what they are answered."""

from __future__ import annotations

import pytest

from gateway.core.errors import RedisUnavailable
from gateway.core.instant import parse_instant
from gateway.core.vocabulary import Mode
from gateway.ports import Confirmations
from gateway.web.admin.orders import LARGEST_ORDER
from tests.unit.web.operations import Admin
from tests.unit.web.planes import problem_word

PARTITION = "0123456789abcdef" * 2
JSON = ("content-type", "application/json")
ORDERS = [
    ("/invalidate", b'{"ids": ["a"]}'),
    ("/purge", b"{}"),
    ("/mode", b'{"mode": "frozen"}'),
]
each_order = pytest.mark.parametrize(("path", "body"), ORDERS)
each_receipt = pytest.mark.parametrize(("path", "body"), ORDERS[:2])


def ordered(admin: Admin) -> int:
    """How many orders were passed on."""
    return (
        len(admin.operations.invalidated)
        + len(admin.operations.purged)
        + len(admin.operations.modes)
    )


async def test_invalidate_passes_ids_and_bound_on() -> None:
    """In the order's words, once."""
    admin = Admin()
    bound = "2023-11-14T20:00:00Z"

    await admin.order("/invalidate", b'{"ids": ["a", "b"]}')
    await admin.order("/invalidate", b'{"ids": ["c"], "updated_at": "%s"}' % bound.encode())

    assert admin.operations.invalidated == [(("a", "b"), None), (("c",), parse_instant(bound))]


async def test_mode_passes_the_word_on() -> None:
    """And says it again."""
    admin = Admin()

    told = [await admin.order("/mode", b'{"mode": "%s"}' % mode.encode()) for mode in Mode]

    assert admin.operations.modes == list(Mode)
    assert [answer.json() for answer in told] == [{"mode": mode} for mode in Mode]


async def test_purge_passes_partition_and_softness_on() -> None:
    """Everything for `{}`, which is needed."""
    admin = Admin()

    await admin.order("/purge", b"{}")
    await admin.order("/purge", b'{"partition": "%s", "soft": true}' % PARTITION.encode())

    assert admin.operations.purged == [(None, False), (PARTITION, True)]


@each_receipt
async def test_all_have_confirmed(path: str, body: bytes) -> None:
    """200 and the count, nothing else."""
    admin = Admin()
    admin.operations.confirmations = Confirmations(known=3, confirmed=3)

    response = await admin.order(path, body)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"replicas": {"known": 3, "confirmed": 3}}


@each_receipt
async def test_not_all_have_confirmed(path: str, body: bytes) -> None:
    """202, the count, the setting that bounds the others, and a sentence."""
    admin = Admin()
    admin.operations.confirmations = Confirmations(known=3, confirmed=1)

    response = await admin.order(path, body)

    words = response.json()
    assert response.status_code == 202
    assert words.keys() == {"replicas", "bounded_by", "detail"}
    assert words["replicas"] == {"known": 3, "confirmed": 1}
    assert words["bounded_by"] == "l1.lifetime"


@each_order
async def test_redis_away_is_a_503(path: str, body: bytes) -> None:
    """It says so, with the time to ask again."""
    admin = Admin()
    admin.operations.failure = RedisUnavailable("invalidate", "refused")

    response = await admin.order(path, body)

    assert (response.status_code, problem_word(response)) == (503, "redis-unavailable")
    assert response.json()["detail"].startswith("Redis is away")
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/invalidate", b'{"ids": ["a"], "updated_at": "2023-11-14T22:18:21Z"}'),
        ("/mode", b"{}"),
        ("/mode", b'{"mode": "thawed"}'),
        ("/mode", b'{"mode": "frozen", "for": "5m"}'),
        ("/purge", b'{"partition": "p1"}'),
    ],
)
async def test_a_bad_order_is_not_passed_on(path: str, body: bytes) -> None:
    """400 with what was wrong; five minutes ahead are counted on the clock of the replicas."""
    admin = Admin()

    response = await admin.order(path, body)

    assert (response.status_code, problem_word(response)) == (400, "bad-request")
    assert ordered(admin) == 0


@each_order
async def test_a_large_order_is_not_passed_on(path: str, body: bytes) -> None:
    """413, also where the excess is blank."""
    admin = Admin()

    response = await admin.order(path, body + b" " * LARGEST_ORDER)

    assert (response.status_code, problem_word(response)) == (413, "too-large")
    assert ordered(admin) == 0


async def test_a_withdrawn_mode_is_told_as_withdrawn() -> None:
    """The 400 says since when the mode is gone, and what to do instead."""
    admin = Admin()

    response = await admin.order("/mode", b'{"mode": "bypass"}')

    assert (response.status_code, problem_word(response)) == (400, "bad-request")
    assert response.json()["detail"].startswith("the mode bypass went in 0.2: ")
    assert ordered(admin) == 0


@pytest.mark.parametrize("path", ["/invalidate", "/purge", "/mode"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_only_post_orders(path: str, method: str) -> None:
    """405 with `Allow`: a link that is followed changes nothing."""
    admin = Admin()

    response = await admin.ask(path, method, dict([JSON]))

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert ordered(admin) == 0


async def test_the_live_page_orders_nothing() -> None:
    """It reads: neither an order's path nor another method than GET is in its script."""
    script = (await Admin().ask("/page.js")).text

    assert not any(word in script for word in ("invalidate", "purge", "POST", "method:"))
