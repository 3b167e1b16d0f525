"""`gateway mode`: in which mode all replicas serve, and the order to serve in another one."""

from __future__ import annotations

import click

from gateway.cli.admin import Admin, admin_option, json_option, seconds_of, token_option
from gateway.cli.status import mode_words

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
