"""The user of Redis that SECURITY.md tells operators to make, read from there.

With --documented-acl the Redis of every test has it, and its address names it: what gateways are
given. What tests ask for themselves they ask as Redis' own user.
"""

from __future__ import annotations

import re
from pathlib import Path

NAME = "gateway"
PASSWORD = "hunter2"
CREDENTIALS = f"{NAME}:{PASSWORD}@"
_SECURITY = Path(__file__).resolve().parents[2] / "SECURITY.md"

# Set for the whole run.
is_documented_user = False


def rule() -> list[str]:
    """The words of the documented ACL, without those that name the user."""
    block = re.search(
        r"^ACL SETUSER gateway on >PASSWORD (.*?)^```",
        _SECURITY.read_text(),
        re.DOTALL | re.MULTILINE,
    )
    assert block is not None
    return block[1].split()


def options() -> list[str]:
    """What makes the user when a Redis starts; nothing without --documented-acl."""
    return ["--user", NAME, "on", f">{PASSWORD}", *rule()] if is_documented_user else []


def credentials() -> str:
    """What stands before the host in an address that gateways are given."""
    return CREDENTIALS if is_documented_user else ""


def without(url: str) -> str:
    """The same address for a test's own client."""
    return url.replace(CREDENTIALS, "")
