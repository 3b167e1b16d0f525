"""The sweeps in Redis: their leaders and progress, and the comparison of pages with the floors.

The rules are in lua/sweep.lua.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final

import msgspec

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.key_state import encode_renewed
from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.records import EPOCH_LENGTH, micros, of_share, read_floor, version
from gateway.core.cache.entry import Key, Ticket
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.sweep.progress import Progress
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Compared, Turn

# If no replica continues a sweep, Redis forgets its progress after this time (ms).
_KEEP: Final = 24 * 3600 * 1000

# If the stored progress has another prefix (another format), the sweep starts again.
_SCHEMA: Final = b"2 "

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Progress)


class RedisSweep:
    """The sweeps, as one replica uses them, on the floors and bodies of RedisStore.

    longest_keep, longest_fetch  see RedisStore
    pause_after  the sweep of a partition pauses after this many seconds without a read by callers
    entropy      makes the epochs of new floors, and the token that marks this replica as the leader
    lifetime     after this many seconds another replica can replace a leader that died
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        *,
        longest_keep: float,
        longest_fetch: float,
        pause_after: float,
        entropy: Callable[[], str],
        lifetime: float = 5.0,
    ) -> None:
        self._connection = connection
        self._names = Names(prefix)
        self._keep = max(1, int(longest_keep * 1000))
        self._floor_keep = int(2 * longest_keep * 1000)
        self._fetch_keep = max(1, int(2 * longest_fetch * 1000))
        self._pause_after = max(1, round(pause_after * 1000))
        self._token = entropy()
        self._entropy = entropy
        self.lifetime = lifetime
        self._take = Script.load("sweep", "take")
        self._note = Script.load("sweep", "note")
        self._compare = Script.load("sweep", "compare", needs=["floor"])

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        lead = self._name(partition, "l")
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._take,
            (lead, self._name(partition, "p"), self._name(partition, "r")),
            (self._token, round(self.lifetime * 1000), int(was_read), self._pause_after),
            _read_turn,
        )

    async def note(self, partition: str, progress: Progress) -> bool:
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._note,
            (self._name(partition, "l"), self._name(partition, "p")),
            (self._token, encode_progress(progress), _KEEP),
            lambda reply: int(reply[0]) == 1,
        )

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        before = (
            self._keep,
            self._floor_keep,
            self._fetch_keep,
            int(stores),
            self._entropy(),
        )
        asked = [
            (self._names.touched(Key(partition, item.training_id)), _listed(item)) for item in items
        ]
        # The keys of one script run must be in one slot, so in a cluster each run has one item.
        runs = [[each] for each in asked] if self._connection.is_cluster else [asked]
        told = await self._connection.run_many(
            RedisOperation.SWEEP,
            self._compare,
            [
                (
                    list(chain.from_iterable(names for names, _ in run)),
                    list(chain(before, *(arguments for _, arguments in run))),
                )
                for run in runs
            ],
            partial(_read, share=page.epoch[EPOCH_LENGTH:]),
        )
        return list(chain.from_iterable(told))

    def _name(self, partition: str, what: str) -> str:
        """The name of a record of this partition: `l` the lead, `p` the progress, `r`
        exists if callers have read lately. All are in one slot."""
        return f"{self._names.prefix}:{{{partition}}}:s{what}"


def encode_progress(progress: Progress) -> bytes:
    """The progress as Redis stores it."""
    return _SCHEMA + _encoder.encode(progress)


def decode_progress(data: bytes) -> Progress:
    """The progress that Redis stored. If the bytes cannot be read, the result is the progress
    before the first sweep."""
    if not data.startswith(_SCHEMA):
        return Progress()
    try:
        progress = _decoder.decode(data[len(_SCHEMA) :])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Progress()
    return progress if progress.offset >= 0 else Progress()


def _read_turn(reply: Sequence[Any]) -> Turn:
    leads, progress, reads, stamp = reply
    return Turn(int(leads) == 1, decode_progress(progress), int(reads) == 1, int(stamp) / 1_000_000)


def _listed(item: Listed) -> tuple[str | bytes | int, ...]:
    """The arguments of the script for one item."""
    as_of = micros(item.confirmed_at)
    return version(item.updated_at), as_of, int(item.is_ahead), encode_renewed(item)


def _read(reply: Sequence[Any], share: str) -> list[Compared]:
    return [_compared(share, *reply[at : at + 3]) for at in range(0, len(reply), 3)]


def _compared(share: str, said: bytes, record: bytes, held: int) -> Compared:
    floor = read_floor(record) if record else None
    known = None if floor is None else of_share(floor, share)
    return Compared(ListVerdict(said.decode()), known, int(held) == 1)
