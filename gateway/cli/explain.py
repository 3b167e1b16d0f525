"""`gateway explain`: what a running gateway knows of one training, for a person to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import click

from gateway.cli.admin import Admin, admin_option, json_option, token_option

_INDENT = "  "


@click.command(
    short_help="What a running gateway knows of a training.",
    epilog="""\b
Examples:
  gateway explain trn_000001
  gateway explain trn_000001 --admin http://127.0.0.1:8081 --json""",
)
@click.argument("training_id", metavar="ID")
@admin_option
@token_option
@click.option("--partition", help="Which one, where several hold the training.")
@json_option
def explain(
    training_id: str, admin: str, token: str | None, partition: str | None, as_json: bool
) -> None:
    """Tell what each tier holds of a training, its version floor, its next refresh, and what
    happened to it lately: fetched, refused, invalidated, swept; by whom and why.

    Prints no content and no credential.
    """
    query = {} if partition is None else {"partition": partition}
    answer = Admin(admin, token).get(f"/explain/{quote(training_id, safe='')}", query)
    if as_json:
        click.echo(answer.text)
        return
    for line in readable(answer.json()):
        click.echo(line)


def readable(words: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """A JSON object as indented lines, names aligned; null is a dash."""
    width = max(map(len, words), default=0)
    for name, value in words.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}"
            yield from readable(value, indent + _INDENT)
        elif isinstance(value, list) and value:
            yield f"{indent}{name}"
            yield from (f"{indent}{_INDENT}{_item(each)}" for each in value)
        else:
            yield f"{indent}{name:<{width}}  {_plain(value)}"


def _item(value: object) -> str:
    """An event is its time, its name and what else is known; other things are as they are."""
    if not isinstance(value, dict) or not {"time", "event"} <= value.keys():
        return _plain(value)
    others = {name: each for name, each in value.items() if name not in ("time", "event")}
    return f"{value['time']}  {value['event']:<20}  {_plain(others)}".rstrip(" -")


def _plain(value: object) -> str:
    if isinstance(value, dict) and value:
        return "  ".join(f"{name}={_plain(each)}" for name, each in value.items())
    if value is None or value in ("", {}, []):
        return "-"
    return value if isinstance(value, str) else json.dumps(value)
