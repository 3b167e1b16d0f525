"""The `gateway` command: its options, exit codes and texts.

Exit codes:

- 0: done.
- 1: not done, for example because no gateway answers.
- 2: a fault in the command line, in the settings, or in the key on standard input (`hash-key`).
- 3: done, but some replicas did not confirm.
- 4: the gateway that was asked has a bad finding.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os

import click

from gateway import __version__
from gateway.cli.explain import explain
from gateway.cli.keys import hash_key
from gateway.cli.orders import invalidate, purge, set_mode
from gateway.cli.serve import check, health, serve
from gateway.cli.simulate import demo, simulate
from gateway.cli.status import status


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it: gateway demo. Each command has --help with an example.",
)
@click.version_option(__version__, prog_name="gateway", message="%(prog)s %(version)s")
def main() -> None:
    """A caching gateway in front of one training API. It stays within the API's rate limit."""
    # Python would write the keys of all TLS connections to the file that this names, and whoever
    # reads that file can read the tokens.
    os.environ.pop("SSLKEYLOGFILE", None)


for command in (
    *(serve, check, health),
    *(status, explain, invalidate, purge, set_mode),
    *(hash_key, demo, simulate),
):
    main.add_command(command)
