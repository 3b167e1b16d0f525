"""`gateway invalidate`, `gateway purge` and `gateway mode`: orders that all replicas carry out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.admin import Admin, admin_option, json_option, seconds_of, token_option
from gateway.cli.status import mode_words

if TYPE_CHECKING:
    import httpx


NOT_BY_ALL = 3


@click.command(
    short_help="Make what is stored of trainings invalid.",
    epilog="""\b
Examples:
  gateway invalidate trn_000001 trn_000002
  gateway invalidate trn_000001 --updated-at 2026-01-31T12:00:00Z
  gateway invalidate trn_000001 --soft""",
)
@click.argument("training_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--updated-at", metavar="TIME", help="Only versions before this date-time.")
@click.option("--soft", is_flag=True, help="Keep it to answer with while the upstream fails.")
@admin_option
@token_option
@json_option
def invalidate(
    *,
    training_ids: tuple[str, ...],
    updated_at: str | None,
    soft: bool,
    admin: str,
    token: str | None,
    as_json: bool,
) -> None:
    """Make what is stored of trainings invalid, in every partition and every replica.

    The next answer of each is fetched. With --soft, what there is answers where that fails. TIME
    is that of a version, such as 2026-01-31T12:00:00Z, with an offset. Exit code 3 where not all
    replicas confirmed, those of Redis included.
    """
    words: dict[str, object] = {"ids": training_ids}
    if updated_at is not None:
        words["updated_at"] = updated_at
    if soft:
        words["soft"] = True
    plane = Admin(admin, token)
    _tell(plane, plane.order("/invalidate", words), as_json=as_json)


@click.command(
    short_help="Make everything that is stored invalid.",
    epilog="""\b
Examples:
  gateway purge --soft
  gateway purge --partition 0123456789abcdef0123456789abcdef --yes""",
)
@click.option("--partition", metavar="NAME", help="Only this one, as gateway explain names it.")
@click.option("--soft", is_flag=True, help="Keep it to answer with while the upstream fails.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal whether it is meant.")
@admin_option
@token_option
@json_option
def purge(
    *,
    partition: str | None,
    soft: bool,
    yes: bool,
    admin: str,
    token: str | None,
    as_json: bool,
) -> None:
    """Make everything that is stored invalid, in every replica.

    Each training is then fetched anew, within the upstream's limit: --soft keeps what there is
    as a rescue. Exit code 3 where not all replicas confirmed, those of Redis included.
    """
    plane = Admin(admin, token)
    if not yes and sys.stdin.isatty():
        what = "everything" if partition is None else f"partition {partition}"
        question = f"{plane.address}: purge {what}, to be fetched anew within the upstream's limit?"
        click.confirm(question, abort=True, err=True)
    words: dict[str, object] = {"soft": soft}
    if partition is not None:
        words["partition"] = partition
    _tell(plane, plane.order("/purge", words), as_json=as_json)


def _tell(plane: Admin, answer: httpx.Response, *, as_json: bool) -> None:
    """Print how many replicas confirmed; exit with 3 and what follows where not all did."""
    import msgspec  # noqa: PLC0415 -- as all that a help text has no use for

    from gateway.web.admin.orders import Receipt  # noqa: PLC0415

    try:
        receipt = msgspec.json.decode(answer.content, type=Receipt)
    except msgspec.DecodeError:
        plane.is_something_else(answer.status_code)
    replicas, redis = receipt.replicas, receipt.redis
    said = f"{replicas.confirmed} of {replicas.known} replicas confirmed"
    if redis is not None:
        said += f", {redis.acknowledged} of {redis.replicas} of Redis"
    click.echo(answer.text if as_json else said)
    if receipt.detail is not None:
        click.echo(f"{plane.address}: {receipt.detail}", err=True)
    if not receipt.is_complete:
        raise click.exceptions.Exit(NOT_BY_ALL)


_EFFECTS = {
    "normal": "responses come from the cache, and from the API within its limit",
    "frozen": "the API is not called, and what is stored is served within its stale windows",
    "bypass": "the API is asked for each request within its limit, and nothing is stored",
}


@click.command(
    name="mode",
    short_help="The mode of all replicas, or an order to change it.",
    epilog="""\b
Examples:
  gateway mode
  gateway mode frozen
  gateway mode normal""",
)
@click.argument("mode", metavar="[MODE]", required=False, type=click.Choice(sorted(_EFFECTS)))
@admin_option
@token_option
@json_option
def set_mode(mode: str | None, admin: str, token: str | None, as_json: bool) -> None:
    """Without MODE tell in which mode the gateway serves, since when, and by whose order. With
    MODE (normal, frozen, bypass) have all replicas serve in it; they follow within a second.
    """
    plane = Admin(admin, token)
    if mode is None:
        words = plane.get("/status", {}).json()
        told = {name: words[name] for name in ("mode", "mode_order")}
        said = mode_words(words, seconds_of(words["time"]))
        current = str(words["mode"])
    else:
        told = plane.order("/mode", {"mode": mode}).json()
        said, current = f"{mode}, from now on", mode
    if as_json:
        import json  # noqa: PLC0415 -- as all that a help text has no use for

        click.echo(json.dumps(told))
        return
    click.echo(f"mode {said}")
    click.echo(f"     {_EFFECTS[current]}")
