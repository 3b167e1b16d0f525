"""Lua scripts: their texts, the digests under which Redis remembers them, and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from redis.exceptions import NoScriptError

from gateway.core.vocabulary import RedisOperation

_LUA = Path(__file__).parents[1] / "lua"
# In a file of `lua/`, a line with this text and the script's name precedes each script.
_SECTION: Final = "-- script: "

# If an argument of the type `bytes` is longer than this, the run has a round trip of its own. So no
# other run waits for it.
_LARGE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest under which Redis remembers it."""

    text: str
    digest: str

    @classmethod
    def load(cls, file: str, name: str, *, needs: Sequence[str] = ()) -> Script:
        """The script `name` of `file`. Its text has the files in `needs`, then the lines of `file`
        before the first script, then the script."""
        shared, *sections = (_LUA / f"{file}.lua").read_text().split(_SECTION)
        scripts = dict(section.split("\n", maxsplit=1) for section in sections)
        preludes = [(_LUA / f"{each}.lua").read_text() for each in needs]
        text = "\n".join((*preludes, shared, scripts[name]))
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class ScriptRun:
    """One run of a script."""

    operation: RedisOperation
    script: Script
    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]

    @property
    def is_large(self) -> bool:
        """Whether an argument is longer than `_LARGE`."""
        return any(isinstance(each, bytes) and len(each) > _LARGE for each in self.arguments)


async def run_together(client: Any, runs: Sequence[ScriptRun]) -> list[Any]:
    """The reply to each run, or its error, in one round trip (two if Redis does not remember all
    scripts)."""
    replies = await _piped(client, [(run, "EVALSHA", run.script.digest) for run in runs])
    unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        whole = await _piped(client, [(runs[n], "EVAL", runs[n].script.text) for n in unknown])
        for n, reply in zip(unknown, whole, strict=True):
            replies[n] = reply
    return replies


async def _piped(client: Any, sent: Sequence[tuple[ScriptRun, str, str]]) -> list[Any]:
    async with client.pipeline(transaction=False) as pipe:
        for run, command, script in sent:
            pipe.execute_command(command, script, len(run.keys), *run.keys, *run.arguments)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies
