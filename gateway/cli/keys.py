"""`gateway hash-key` makes a key for a caller, or a token for an operator."""

# ruff: noqa: PLC0415 -- heavy imports wait until the command runs

from __future__ import annotations

import secrets
import sys

import click

from gateway.cli.serve import WRONG_SETTINGS, complain

# The number of random bytes in a key. Nobody can guess such a key, so a plain SHA-256 is safe.
_ENTROPY = 32


@click.command(
    name="hash-key",
    short_help="Make a key for a caller, or a token for an operator.",
    epilog="""\b
Examples:
  gateway hash-key
  gateway hash-key --operator
  printf %s "$KEY" | gateway hash-key --stdin""",
)
@click.option(
    "--operator",
    is_flag=True,
    help="Make a token for an operator, for [[tokens]] in admin.tokens_file.",
)
@click.option("--stdin", "given", is_flag=True, help="Hash the key on standard input.")
def hash_key(operator: bool, given: bool) -> None:
    """Make a key for a caller. Print the key, and below it the line for [[clients]] in the clients
    file. With --operator, make a token for an operator, and print it with its line for [[tokens]]
    in the tokens file.

    Give the key to the caller. It is stored nowhere: the file has only its SHA-256. With --stdin,
    print only the line, for a key that you made yourself. Use a key that nobody can guess.
    """
    from gateway.core.access.caller import KEY_PREFIX, bearer, digest_of
    from gateway.core.errors import AccessRefused

    if not given:
        prefix = f"{KEY_PREFIX}admin_" if operator else KEY_PREFIX
        key = f"{prefix}{secrets.token_urlsafe(_ENTROPY)}"
        click.echo(key)
    else:
        try:
            text = "" if sys.stdin is None else sys.stdin.read()
            key = text.removesuffix("\n").removesuffix("\r")
            bearer([b"Bearer " + key.encode()])
        except (AccessRefused, UnicodeError):
            complain(["standard input: is not a key that a caller can send"], WRONG_SETTINGS)
    click.echo(f'{"sha256" if operator else "key_sha256"} = "{digest_of(key)}"')
