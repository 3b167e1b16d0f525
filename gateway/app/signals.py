"""The signals that end the process: the first one drains it, a second one ends it at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# `timeout` signals its child and then the child's group, and a shell repeats the terminal's
# SIGHUP: a signal that comes so soon after the first one is not a second wish.
_ONE_WISH = 0.02


@contextlib.contextmanager
def set_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at the first of these signals. From then on each has the system's default
    action, which ends the process whatever the event loop does.

    A SIGHUP that is ignored, as `nohup` has it, stays ignored.
    """
    loop = asyncio.get_running_loop()
    signals = [each for each in _ENDING if not _is_ignored_hangup(each)]

    def drain() -> None:
        stop.set()
        loop.call_later(_ONE_WISH, end_at_next)

    def end_at_next() -> None:
        for each in signals:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for each in signals:
        loop.add_signal_handler(each, drain)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _is_ignored_hangup(each: signal.Signals) -> bool:
    return each is signal.SIGHUP and signal.getsignal(each) is signal.SIG_IGN
