"""`gateway explain`: what a running gateway knows of one training, for a person to read."""

# ruff: noqa: PLC0415 -- heavy imports wait until the command runs

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from gateway.cli.serve import FAILED, complain

if TYPE_CHECKING:
    import httpx

_PATIENCE = 10.0
_INDENT = "  "


@click.command(
    short_help="What a running gateway knows of a training.",
    epilog="""\b
Examples:
  gateway explain trn_000001
  gateway explain trn_000001 --admin http://127.0.0.1:8081 --json""",
)
@click.argument("training_id", metavar="ID")
@click.option(
    "--admin",
    default="http://127.0.0.1:8081",
    show_default=True,
    metavar="URL",
    help="The admin address of a running gateway.",
)
@click.option(
    "--token",
    envvar="GATEWAY_ADMIN__TOKEN",
    show_envvar=True,
    help="Its admin token, where it has one; better in the environment, which ps does not show.",
)
@click.option("--partition", help="Which one, where several hold the training.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as it came.")
def explain(
    training_id: str, admin: str, token: str | None, partition: str | None, as_json: bool
) -> None:
    """Tell what each tier holds of a training, its version floor and its next refresh.

    Prints no content and no credential.
    """
    answer = _ask(training_id, admin.rstrip("/"), token, partition)
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
            yield from (f"{indent}{_INDENT}{_plain(each)}" for each in value)
        else:
            yield f"{indent}{name:<{width}}  {_plain(value)}"


def _plain(value: object) -> str:
    if isinstance(value, dict) and value:
        return "  ".join(f"{name}={_plain(each)}" for name, each in value.items())
    if value is None or value in ("", {}, []):
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _ask(training_id: str, admin: str, token: str | None, partition: str | None) -> httpx.Response:
    import httpx

    try:
        answer = httpx.get(
            f"{admin}/explain/{quote(training_id, safe='')}",
            params={} if partition is None else {"partition": partition},
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=_PATIENCE,
            trust_env=False,
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        complain([f"--admin {admin}: is no address (wanted: http://host:port)"], FAILED)
    except httpx.ConnectError:
        complain([f"{admin}: nothing listens there; is it the admin address (--admin)?"], FAILED)
    except httpx.HTTPError as error:
        complain([f"{admin}: no answer: {str(error) or type(error).__name__}"], FAILED)
    return _judged(answer, admin)


def _judged(answer: httpx.Response, admin: str) -> httpx.Response:
    """The answer if it explains a training, else exit with what it says instead."""
    kind = answer.headers.get("content-type", "")
    if answer.status_code == 401:
        complain([f"{admin}: wants its admin token: --token or GATEWAY_ADMIN__TOKEN"], FAILED)
    if kind.startswith("application/problem+json"):
        problem = answer.json()
        complain([f"{admin}: {problem.get('detail') or problem.get('title')}"], FAILED)
    if answer.status_code != 200 or not kind.startswith("application/json"):
        complain([f"{admin}: is no gateway's admin address ({answer.status_code})"], FAILED)
    return answer
