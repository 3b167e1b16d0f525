"""`python -m gateway` is the `gateway` command."""

from __future__ import annotations

from gateway.cli import main

main(prog_name="gateway")
