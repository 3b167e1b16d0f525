"""Single trainings and the list, as a well-behaved upstream answers them."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient, SimulatorConfig, running

FIELDS = {
    *("id", "title", "content", "draft_title", "draft_content", "type", "is_draft"),
    *("directory_id", "restricted_to_channels", "restricted_to_segments"),
    *("current_version", "published_at", "created_at", "updated_at"),
}


async def test_a_training_has_the_documented_fields(api: httpx.AsyncClient) -> None:
    """All fourteen, with content of a real size and milliseconds in `updated_at`."""
    answer = await api.get("/training/trn_000001")

    training = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert training.keys() == FIELDS
    assert training["id"] == "trn_000001"
    assert 1200 < len(training["content"].encode()) < 2200
    assert training["updated_at"][-5] == "."
    assert datetime.fromisoformat(training["updated_at"]).tzinfo is not None


async def test_trainings_follow_from_the_seed() -> None:
    """The same seed gives the same bytes, another seed others."""
    bodies = []
    for seed in (5, 5, 6):
        config = SimulatorConfig(trainings=3, seed=seed)
        async with running(config) as simulator, SimulatorClient(simulator.base_url) as control:
            bodies.append(await control.body("trn_000002"))

    assert bodies[0] == bodies[1] != bodies[2]


async def test_each_organisation_has_trainings_of_its_own(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """The same id is another training to a key of another organisation."""
    await control.add_key("other-token", org="other")

    ours = await api.get("/training/trn_000001")
    theirs = await api.get("/training/trn_000001", headers={"Authorization": "Bearer other-token"})

    assert theirs.status_code == 200
    assert ours.content != theirs.content
    assert theirs.content == await control.body("trn_000001", org="other")


@pytest.mark.parametrize("credential", [None, "Bearer nobody", "Basic demo-token", "Bearer"])
async def test_an_unknown_credential_is_refused(
    simulator: RunningSimulator, credential: str | None
) -> None:
    """Missing, unknown or of another scheme: 401 in the API's error shape."""
    headers = {} if credential is None else {"Authorization": credential}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{simulator.base_url}/training/trn_000001", headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {
        "statusCode": 401,
        "message": "Unauthorized",
        "error": "Unauthorized",
    }


async def test_a_key_needs_its_scope(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """Without scope nothing, with the reading scope no writes: 403 in the error shape."""
    await control.add_key("demo-token", scope="none")
    unread = await api.get("/training/trn_000001")
    await control.add_key("demo-token", scope="read")
    read = await api.get("/training/trn_000001")
    unwritten = await api.delete("/training/trn_000001")

    assert [unread.status_code, read.status_code, unwritten.status_code] == [403, 200, 403]
    assert unread.json() == {
        "statusCode": 403,
        "message": "Forbidden resource",
        "error": "Forbidden",
    }


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/training/trn_999999", "Training not found"),
        ("GET", "/trainings", "Cannot GET /trainings"),
        ("PATCH", "/training/trn_000001", "Cannot PATCH /training/trn_000001"),
    ],
)
async def test_what_is_not_there_is_404(
    api: httpx.AsyncClient, method: str, path: str, message: str
) -> None:
    """Unknown ids, paths and methods answer 404 in the error shape."""
    answer = await api.request(method, path)

    assert answer.status_code == 404
    assert answer.json() == {"statusCode": 404, "message": message, "error": "Not Found"}


async def test_pages_cover_the_catalogue_once(api: httpx.AsyncClient) -> None:
    """Pages of ten hold all 25 trainings, newest first, each as its single form."""
    pages = [
        (await api.get("/training", params={"limit": 10, "offset": offset})).json()
        for offset in (0, 10, 20)
    ]

    ids = [item["id"] for page in pages for item in page["items"]]
    assert ids == [f"trn_{number:06d}" for number in range(25, 0, -1)]
    assert [page["has_more"] for page in pages] == [True, True, False]
    assert {name: pages[1][name] for name in ("total", "limit", "offset")} == {
        "total": 25,
        "limit": 10,
        "offset": 10,
    }
    assert pages[0]["items"][0] == (await api.get("/training/trn_000025")).json()


async def test_an_insert_shifts_the_rows(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """While others insert, the next page repeats the last row of the one before."""
    first = (await api.get("/training", params={"limit": 10})).json()
    await control.insert()
    second = (await api.get("/training", params={"limit": 10, "offset": 10})).json()

    assert second["items"][0] == first["items"][-1]


async def test_filters_narrow_the_list(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """`type`, `is_draft` and `search` keep what fits, and `total` says how many."""
    await control.edit("trn_000004", "Mention the Zanzibar branch.")

    async def listed(**params: str) -> list[dict[str, object]]:
        page = (await api.get("/training", params={"limit": "100", **params})).json()
        assert page["total"] == len(page["items"]) > 0
        return list(page["items"])

    assert {item["type"] for item in await listed(type="BEHAVIORAL")} == {"BEHAVIORAL"}
    assert [item["id"] for item in await listed(is_draft="true")] == ["trn_000020"]
    assert [item["id"] for item in await listed(search="zanzibar")] == ["trn_000004"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=ten", "limit=", "offset=-1", "type=ODD", "is_draft=maybe"),
        pytest.param(f"offset={10**20}", id="offset=10**20"),
        pytest.param(f"limit={'1' * 5_000}", id="limit of 5000 digits"),
    ],
)
async def test_bad_parameters_are_refused(api: httpx.AsyncClient, query: str) -> None:
    """400 in the error shape, with the name of what is wrong."""
    answer = await api.get(f"/training?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"] == "Bad Request"
    assert query.partition("=")[0] in answer.json()["message"]


async def test_answers_look_like_a_cdns(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """`Set-Cookie` that a careless client would keep, another each time; none when switched off."""
    cookies = [(await api.get("/training/trn_000001")).headers["set-cookie"] for _ in range(2)]
    kept = dict(api.cookies)
    await control.answers(cookie=False)
    bare = await api.get("/training/trn_000001")

    assert cookies[0] != cookies[1]
    assert "__cflb" in kept
    assert bare.headers["server"] == "cloudflare"
    assert "set-cookie" not in bare.headers
