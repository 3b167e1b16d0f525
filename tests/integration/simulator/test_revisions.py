"""The documented revisions of the schema, single and in lists."""

from __future__ import annotations

import httpx
import pytest

from gateway.simulator import SimulatorClient
from gateway.simulator.training import Revision

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


async def test_a_new_channel_is_one_nobody_knows(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """A value that is in no documentation."""
    await control.revision(Revision.NEW_CHANNEL)

    training = (await api.get("/training/trn_000001")).json()

    assert training["restricted_to_channels"] == ["web", "carrier_pigeon"]


async def test_the_odd_form_means_the_same(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """Other bytes, equal once parsed: a proxy that writes it anew is found out."""
    plain = await api.get("/training/trn_000001")
    await control.revision(Revision.ODD_FORM)
    odd = await api.get("/training/trn_000001")

    assert odd.json() == plain.json()
    assert list(odd.json()) == list(reversed(plain.json()))
    assert b"\n" in odd.content
    assert b".0" in odd.content
