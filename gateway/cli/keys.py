"""`gateway hash-key`: a key for a caller or a token for an operator, and its line for the file."""

# ruff: noqa: PLC0415 -- heavy imports wait until the command runs

from __future__ import annotations

import secrets
import sys

import click

from gateway.cli.serve import WRONG_SETTINGS, complain

# Bytes of chance: nobody guesses a key, so that a plain SHA-256 of it tells nothing.
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
@click.option("--operator", is_flag=True, help="A token for [[tokens]] in admin.tokens_file.")
@click.option("--stdin", "given", is_flag=True, help="Hash the key on standard input instead.")
def hash_key(operator: bool, given: bool) -> None:
    """Make a key and print it, and below it its line for [[clients]] in the clients file, or with
    --operator for [[tokens]] in the tokens file.

    The key is for the caller and is kept nowhere: the file has its SHA-256 only. With --stdin
    the line alone is printed, of a key that was made elsewhere; use none that can be guessed.
    """
    from gateway.core.access.caller import KEY_PREFIX, bearer, digest_of
    from gateway.core.errors import AccessRefused

    if not given:
        prefix = f"{KEY_PREFIX}admin_" if operator else KEY_PREFIX
        key = f"{prefix}{secrets.token_urlsafe(_ENTROPY)}"
        click.echo(key)
    else:
        key = sys.stdin.read().removesuffix("\n").removesuffix("\r")
        try:
            bearer([b"Bearer " + key.encode()])
        except (AccessRefused, UnicodeEncodeError):
            complain(["standard input: is no key that a caller can present"], WRONG_SETTINGS)
    click.echo(f'{"sha256" if operator else "key_sha256"} = "{digest_of(key)}"')
