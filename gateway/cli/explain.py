"""`gateway explain`: what a running gateway knows of one training or of the list, for a person to
read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from gateway.cli.admin import (
    Admin,
    duration,
    json_option,
    moment,
    plane_options,
    seconds_of,
    size,
)

if TYPE_CHECKING:
    from typing import Any

_INDENT = "  "
_DURATIONS = {"age", "freshness_lifetime", "gate_closed_for", "window"}
_VERSIONS = {"updated_at", "bound"}
_MOMENTS = {"time", "since", *_VERSIONS}
_PLANS = {
    "serve": "The next request gets it.",
    "serve-stale": "The next request gets it, and the API is not asked: it answered a moment ago.",
    "serve-and-refresh": "The next request gets it, and it is refreshed in the background.",
    "wait-softly": "The next request calls the API. If the call fails or takes long, the request "
    "gets the stored response.",
    "fetch": "The next request calls the API first.",
}


@click.command(
    short_help="Print what a running gateway knows about a training or the list.",
    epilog="""\b
Examples:
  gateway explain trn_000001
  gateway explain trn_000001 --admin http://127.0.0.1:8081 --json
  gateway explain --list""",
)
@click.argument("training_id", metavar="[ID]", required=False)
@plane_options
@click.option("--partition", help="The partition, if several have the training.")
@click.option("--list", "of_list", is_flag=True, help="Print what is known of each tenant's list.")
@json_option
def explain(
    training_id: str | None, plane: Admin, partition: str | None, of_list: bool, as_json: bool
) -> None:
    """Print what the next request for a training gets. Then print what each tier holds of it, the
    lowest version that may be served, its next refresh, and its last events (such as a fetch, or an
    invalidation and who ordered it).

    Neither the content of the training nor a credential is printed.
    """
    if of_list is (training_id is not None) or (of_list and partition):
        raise click.UsageError("Give the ID of a training, or --list alone.")
    if training_id is None:
        _explain_list(plane, as_json)
        return
    query = {} if partition is None else {"partition": partition}
    answer = plane.get(f"/explain/{quote(training_id, safe='')}", query)
    words = plane.members(answer, {"time", "l1", "next_refresh"})
    if as_json:
        click.echo(answer.text)
        return
    now = seconds_of(words.pop("time"))
    click.echo(f"{training_id}: {in_short(words)}\n")
    for line in readable(words, now):
        click.echo(line)
    click.echo(f"\nWhat the words mean: {plane.address}/docs/glossary.md")


def _explain_list(plane: Admin, as_json: bool) -> None:
    """Print which lists are answered without a call, and what is known of them."""
    freshness = plane.members(plane.get("/status", {}), {"freshness"})["freshness"]
    if as_json:
        click.echo(json.dumps(freshness))
        return
    if not freshness["tenants"]:
        click.echo("There is no sweep. The API is asked for each list, and its answer is kept.")
    for tenant, words in freshness["tenants"].items():
        count = words["catalogue"]
        answers = (
            "the API answers" if count is None else f"the catalogue ({count} trainings) answers"
        )
        click.echo(f"{tenant}: {answers} requests for the list.\n")
        for line in readable(words, 0.0, _INDENT):
            click.echo(line)


def in_short(words: Mapping[str, Any]) -> str:
    """One or two sentences: what is stored, and what the next request gets."""
    held = words.get("l1") or words.get("l2")
    if not isinstance(held, dict):
        if "l2" not in words:  # the gateway does not know which partition is meant
            return "nothing is stored in this replica; with --partition Redis is asked too."
        away = "; Redis cannot be asked" if words.get("redis") else ""
        return f"nothing is stored{away}. The next request calls the API."
    what = "stored" if held["status"] == 200 else f"remembered as a {held['status']}"
    if held["state"] != "current":
        return f"{what}, but invalidated or out of date. The next request calls the API first."
    left = held["freshness_lifetime"] - held["age"]
    since = (
        f"fresh for another {duration(left)}"
        if left > 0
        else f"already stale for {duration(-left)}"
    )
    return f"{what}, {since}. {_PLANS.get(held['plan'], '')}".rstrip()


def readable(words: Mapping[str, object], now: float, indent: str = "") -> Iterator[str]:
    """A JSON object as indented lines. `now` is in seconds since the Unix epoch."""
    width = max(map(len, words), default=0)
    for name, value in words.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}"
            yield from readable(value, now, indent + _INDENT)
        elif isinstance(value, list) and value:
            yield f"{indent}{name}"
            yield from (f"{indent}{_INDENT}{_item(each, now)}" for each in value)
        else:
            yield f"{indent}{name:<{width}}  {_said(name, value, now)}"


def _item(value: object, now: float) -> str:
    if not isinstance(value, dict) or not {"time", "event"} <= value.keys():
        return _plain(value, now)
    others = {name: each for name, each in value.items() if name not in ("time", "event")}
    at, event = _said("time", value["time"], now), value["event"]
    return f"{at}  {event:<20}  {_plain(others, now) if others else ''}".rstrip()


def _plain(value: object, now: float) -> str:
    if isinstance(value, dict) and value:
        return "  ".join(f"{each}={_said(each, value[each], now)}" for each in value)
    if value is None or value in ("", {}, []):
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _said(name: str, value: object, now: float) -> str:
    """A value as text, with the unit that its name implies."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name in _DURATIONS or name.endswith("_seconds"):
            return duration(value)
        if name in _MOMENTS:
            return moment(value, now)
        if name == "bytes":
            return size(value)
    if name in _MOMENTS and isinstance(value, str):
        try:
            told = moment(seconds_of(value), now)
        except ValueError:
            return value
        return f"{value} {told[told.index('(') :]}" if name in _VERSIONS else told
    return _plain(value, now)
