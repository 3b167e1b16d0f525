"""The documented revisions of the schema, single and in lists."""

from __future__ import annotations

import httpx
import pytest

from gateway.simulator import SimulatorClient

LATER = {"draft_title", "draft_content", "current_version", "published_at"}


@pytest.mark.parametrize(
    ("name", "gone", "come"),
    [
        ("current", set(), set()),
        ("early", LATER, set()),
        ("question-answer", LATER | {"title", "content"}, {"question", "answer"}),
        ("metadata", set(), {"metadata", "start_time", "end_time"}),
        ("typeless", {"type"}, set()),
        ("new-channel", set(), set()),
        ("odd-form", set(), set()),
    ],
)
async def test_a_revision_has_its_fields(
    api: httpx.AsyncClient, control: SimulatorClient, name: str, gone: set[str], come: set[str]
) -> None:
    """What came and went, against today's fields; a list's items look the same."""
    today = (await api.get("/training/trn_000025")).json().keys()
    await control.revision(name)

    single = await api.get("/training/trn_000025")
    listed = await api.get("/training", params={"limit": 1})

    assert today - single.json().keys() == gone
    assert single.json().keys() - today == come
    assert listed.json()["items"] == [single.json()]
    assert single.content == await control.body("trn_000025")
