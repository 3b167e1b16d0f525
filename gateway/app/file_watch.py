"""A file of the settings that is taken again while the gateway runs.

Here because only the house itself reads the clock and swaps what its parts have; what the file says
is read by the settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from gateway.ports import Clock
from gateway.settings import RereadFile, SettingsFault

# Seconds between two looks at the file.
LOOK_EVERY: Final = 0.5

G = TypeVar("G")


class FileWatch(Generic[G]):
    """Hands what the file says to `take` when it changes; for a faulty version `refuse` gets its
    faults, and nothing else happens. `started` is what the process started with.

    What two looks in a row find is taken, so that a file half written is not.
    """

    def __init__(
        self,
        file: RereadFile[G],
        clock: Clock,
        started: G,
        *,
        take: Callable[[G], None],
        refuse: Callable[[list[str]], None],
    ) -> None:
        self.file = file
        self._clock = clock
        self._started = started
        self._take = take
        self._refuse = refuse
        self._seen: object = None
        self._known: object = None

    async def run(self) -> None:
        """Look again and again, until cancelled by the owner."""
        while True:
            # In a thread, for a long file takes its time to parse.
            self.judge(await asyncio.to_thread(self.file.look))
            await self._clock.sleep(LOOK_EVERY)

    def judge(self, look: G | SettingsFault) -> None:
        """Take what a look found, once it has stood for two."""
        found = look.faults if isinstance(look, SettingsFault) else look
        stood, self._seen = found == self._seen, found
        if not stood or found == self._known:
            return
        first, self._known = self._known is None, found
        if isinstance(look, SettingsFault):
            self._refuse([str(fault) for fault in look.faults])
        elif not (first and look == self._started):
            self._take(look)
