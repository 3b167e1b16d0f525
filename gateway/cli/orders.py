"""`gateway invalidate`, `gateway purge` and `gateway mode`: orders that all replicas carry out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.admin import Admin, json_option, plane_options, seconds_of
from gateway.cli.status import mode_words
from gateway.core.withdrawn_names import WITHDRAWN

if TYPE_CHECKING:
    import httpx


UNCONFIRMED = 3


@click.command(
    short_help="Make the stored responses of some trainings invalid.",
    epilog="""\b
Examples:
  gateway invalidate trn_000001 trn_000002
  gateway invalidate trn_000001 --updated-at 2026-01-31T12:00:00Z
  gateway invalidate trn_000001 --soft""",
)
@click.argument("training_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--updated-at", metavar="TIME", help="Only versions before this date-time.")
@click.option("--soft", is_flag=True, help="Keep old responses for use while the API fails.")
@plane_options
@json_option
def invalidate(
    *,
    training_ids: tuple[str, ...],
    updated_at: str | None,
    soft: bool,
    plane: Admin,
    as_json: bool,
) -> None:
    """Make the stored responses of these trainings invalid, in every partition and every replica.

    The next request for each of these trainings asks the API. With --soft, that request gets the
    old response if the API fails. TIME is the time of a version, with an offset, such as
    2026-01-31T12:00:00Z. Exit code 3: some replicas did not confirm.
    """
    words: dict[str, object] = {"ids": training_ids}
    if updated_at is not None:
        words["updated_at"] = updated_at
    if soft:
        words["soft"] = True
    _tell(plane, plane.order("/invalidate", words), as_json=as_json)


@click.command(
    short_help="Make all stored responses invalid.",
    epilog="""\b
Examples:
  gateway purge --soft
  gateway purge --partition 0123456789abcdef0123456789abcdef --yes""",
)
@click.option(
    "--partition", metavar="NAME", help="Only this partition; gateway explain prints the name."
)
@click.option("--soft", is_flag=True, help="Keep old responses for use while the API fails.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation on a terminal.")
@plane_options
@json_option
def purge(
    *,
    partition: str | None,
    soft: bool,
    yes: bool,
    plane: Admin,
    as_json: bool,
) -> None:
    """Make all stored responses invalid, in every replica.

    Each training is then fetched again, within the limit of the API. With --soft, old responses are
    kept for use while the API fails. Exit code 3: some replicas did not confirm.
    """
    if not yes and sys.stdin is not None and sys.stdin.isatty():
        of_one = f"the stored responses of partition {partition}"
        what = "all stored responses" if partition is None else of_one
        question = f"{plane.address}: purge {what}, and fetch them again within the API's limit?"
        click.confirm(question, abort=True, err=True)
    words: dict[str, object] = {"soft": soft}
    if partition is not None:
        words["partition"] = partition
    _tell(plane, plane.order("/purge", words), as_json=as_json)


def _tell(plane: Admin, answer: httpx.Response, *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415 -- a help text does not need it

    from gateway.web.admin.orders import Receipt  # noqa: PLC0415

    try:
        receipt = msgspec.json.decode(answer.content, type=Receipt)
    except msgspec.DecodeError:
        plane.exit_as_no_admin_plane(answer.status_code)
    replicas = receipt.replicas
    said = f"{replicas.confirmed} of {replicas.known} replicas confirmed"
    click.echo(answer.text if as_json else said)
    if receipt.detail is not None:
        click.echo(f"{plane.address}: {receipt.detail}", err=True)
    if not receipt.is_complete:
        raise click.exceptions.Exit(UNCONFIRMED)


_EFFECTS = {
    "normal": "responses come from the cache, and from the API within its limit",
    "frozen": "the API is not called; stored responses are served within their stale windows",
}


class _ModeWord(click.Choice[str]):
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        told = WITHDRAWN.get(f"mode {value}")
        if told is not None:
            self.fail(f"the mode {value} {told}", param, ctx)
        return super().convert(value, param, ctx)


@click.command(
    name="mode",
    short_help="Print or set the mode of all replicas.",
    epilog="""\b
Examples:
  gateway mode
  gateway mode frozen
  gateway mode normal""",
)
@click.argument("mode", metavar="[MODE]", required=False, type=_ModeWord(sorted(_EFFECTS)))
@plane_options
@json_option
def set_mode(mode: str | None, plane: Admin, as_json: bool) -> None:
    """Without MODE, print the mode of the gateway, since when it holds, and who ordered it. With
    MODE (normal, frozen), set the mode of all replicas. They follow within a second.
    """
    if mode is None:
        _, words = plane.status()
        told = {name: words[name] for name in ("mode", "mode_order")}
        said = mode_words(words, seconds_of(words["time"]))
        current = str(words["mode"])
    else:
        told = plane.members(plane.order("/mode", {"mode": mode}), {"mode"})
        said, current = f"{mode}, from now on", mode
    if as_json:
        import json  # noqa: PLC0415 -- a help text does not need it

        click.echo(json.dumps(told))
        return
    click.echo(f"mode {said}")
    click.echo(f"     {_EFFECTS[current]}")
