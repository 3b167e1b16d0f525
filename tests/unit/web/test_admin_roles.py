"""What each token may: every right against every route of the admin plane."""

from __future__ import annotations

import httpx
import pytest
from starlette.routing import Route

from gateway.core.access.caller import digest_of
from gateway.core.access.operators import Operator
from gateway.core.vocabulary import AccessRefusal, Right
from gateway.ports import RefusedRequest
from tests.unit.web.operations import Admin
from tests.unit.web.planes import problem_word

TOKEN = {"authorization": "Bearer t0ken", "content-type": "application/json"}
OPEN = {"/metrics", "/livez", "/readyz", "/", "/page.css", "/page.js", "/docs/glossary.md"}
# Each route that does not answer everybody, with what a token has to allow.
NEEDED = {
    ("/status", "GET"): Right.READ,
    ("/live", "GET"): Right.READ,
    ("/openapi.json", "GET"): Right.READ,
    ("/explain/{path:path}", "GET"): Right.READ,
    ("/invalidate", "POST"): Right.INVALIDATE,
    ("/purge", "POST"): Right.PURGE,
    ("/mode", "POST"): Right.MODE,
}
BODIES = {"/invalidate": b'{"ids": ["trn_1"]}', "/purge": b"{}", "/mode": b'{"mode": "frozen"}'}
ROLES = [*([right] for right in Right), [Right.READ, Right.INVALIDATE], list(Right)]


def plane(may: list[Right]) -> Admin:
    """One whose token in the file may that."""
    return Admin("0.0.0.0", None, [Operator("pipeline", (digest_of("t0ken"),), frozenset(may))])


def path_of(route: str) -> str:
    """A path of the route."""
    return route.replace("{path:path}", "trn_1")


async def asked(admin: Admin, path: str, method: str) -> httpx.Response:
    """The route asked as it is used."""
    if method == "POST":
        return await admin.order(path, BODIES[path], TOKEN)
    return await admin.ask(path_of(path), method, TOKEN)


def routes() -> list[tuple[str, str]]:
    """All of the plane, but what is open to everybody: the files of the page, and its documents."""
    found = [
        (route.path, method)
        for route in plane([]).application.routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    shown = OPEN | {path for path, _ in found if path.endswith((".js", ".css", ".md"))}
    return [(path, method) for path, method in found if path not in shown]


def test_every_route_is_in_the_table() -> None:
    """A route that is added says here what it needs."""
    assert sorted(routes()) == sorted(NEEDED)


@pytest.mark.parametrize(("path", "method"), sorted(NEEDED))
@pytest.mark.parametrize("may", ROLES, ids=" ".join)
async def test_a_token_may_what_its_row_says(may: list[Right], path: str, method: str) -> None:
    """And is refused all else with 403, before anything was done."""
    admin, needed = plane(may), NEEDED[path, method]

    response = await asked(admin, path, method)

    operations = admin.operations
    done = [*operations.explained, *operations.invalidated, *operations.purged, *operations.modes]
    if needed in may:
        assert response.status_code == 200
        assert operations.ordered_by == (["pipeline"] if method == "POST" else [])
        return
    assert (response.status_code, problem_word(response)) == (403, "not-permitted")
    assert not done
    allowed = ", ".join(f"`{right}`" for right in Right if right in may)
    told = f"may {allowed} and nothing else; this request needs the right `{needed}`"
    assert response.json()["detail"] == f"the token `pipeline` {told}"
    asked_for = ("127.0.0.1", response.headers["x-request-id"], method, path_of(path))
    refused = (AccessRefusal.NOT_PERMITTED, RefusedRequest(*asked_for, operator="pipeline"))
    assert admin.observer.of("access_refused") == [refused]


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_what_is_open_asks_for_nothing(path: str) -> None:
    """A token that may something else does no harm there."""
    response = await plane([Right.INVALIDATE]).ask(path, headers=TOKEN)

    assert response.status_code == 200


@pytest.mark.parametrize("may", ROLES[:-1], ids=" ".join)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/status", "/nothing", "/explain/trn_1"])
async def test_a_part_is_no_key_to_what_is_no_order(
    may: list[Right], path: str, method: str
) -> None:
    """Only a token that may everything is told that nothing is there."""
    refused = await plane(may).ask(path, method, TOKEN)
    told = await plane(list(Right)).ask(path, method, TOKEN)

    assert (refused.status_code, problem_word(refused)) == (403, "not-permitted")
    assert refused.json()["detail"].endswith("this request needs all rights")
    assert told.status_code in (404, 405)


async def test_orders_are_given_in_a_name() -> None:
    """That of `admin.token`, and of loopback where no token is needed."""
    own, local = Admin("0.0.0.0", "right"), Admin()

    await own.order("/purge", b"{}", {"authorization": "Bearer right"})
    await local.order("/mode", b'{"mode": "frozen"}')
    await local.order("/invalidate", b'{"ids": ["trn_1"]}')

    assert own.operations.ordered_by == ["admin.token"]
    assert local.operations.ordered_by == ["loopback", "loopback"]
