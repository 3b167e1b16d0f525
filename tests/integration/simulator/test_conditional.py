"""Validators and 304, for the day the upstream sends them; none by default."""

from __future__ import annotations

import httpx
import pytest

from gateway.simulator import SimulatorClient

PATH = "/training/trn_000001"


async def test_there_are_no_validators_by_default(api: httpx.AsyncClient) -> None:
    """As documented: nothing to ask with, and asking changes nothing."""
    answer = await api.get(PATH, headers={"If-None-Match": "*"})

    assert answer.status_code == 200
    assert {"etag", "last-modified", "cache-control"}.isdisjoint(answer.headers)


@pytest.mark.parametrize("form", ["strong", "weak"])
async def test_an_unchanged_tag_is_304(
    api: httpx.AsyncClient, control: SimulatorClient, form: str
) -> None:
    """The tag, alone, in a list or as `*`, answers 304 without a body but with its headers."""
    await control.answers(etag=form, cache_control="max-age=5")
    tag = (await api.get(PATH)).headers["etag"]

    for wanted in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        answer = await api.get(PATH, headers={"If-None-Match": wanted})
        assert (answer.status_code, answer.content) == (304, b"")
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (tag, "max-age=5")
    assert tag.startswith("W/") is (form == "weak")


async def test_an_edit_changes_the_tag(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """The old tag gets the new body."""
    await control.answers(etag="strong")
    tag = (await api.get(PATH)).headers["etag"]
    await control.edit("trn_000001")

    answer = await api.get(PATH, headers={"If-None-Match": tag})

    assert answer.status_code == 200
    assert answer.headers["etag"] != tag
