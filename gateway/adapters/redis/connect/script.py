"""Scripts: the text of a step, and the name under which a Redis remembers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

_LUA = Path(__file__).parents[1] / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name under which Redis remembers it."""

    text: str
    digest: str

    @classmethod
    def load(cls, *names: str) -> Script:
        """The script made of these files of `lua/`, preludes first."""
        text = "\n".join((_LUA / f"{name}.lua").read_text() for name in names)
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())

    async def run(
        self, client: Any, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> list[Any]:
        """What it answers; sent as a whole where it is not remembered."""
        parts = (*keys, *arguments)
        try:
            reply: list[Any] = await client.evalsha(self.digest, len(keys), *parts)
        except NoScriptError:
            reply = await client.eval(self.text, len(keys), *parts)
        return reply
