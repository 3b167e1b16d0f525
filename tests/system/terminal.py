"""A command in a terminal of its own, as a person has it."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.servers import ROOT, wait_until

# Makes the terminal its controlling one, as a login would, and becomes the gateway.
_START = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "gateway", *sys.argv[1:]])
"""


class Terminal:
    """`gateway` with these arguments and `GATEWAY_…` variables, and all that it has shown."""

    def __init__(
        self, *arguments: str, folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        self._command = [sys.executable, "-c", _START, *arguments]
        self._folder = folder
        self._settings = settings or {}
        self._shown = bytearray()

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self._child = subprocess.Popen(
            self._command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=self._folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "TERM": "xterm",
                **self._settings,
            },
        )
        os.close(theirs)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._ours)

    @property
    def shown(self) -> str:
        """All that was shown so far, with the sequences that move the cursor."""
        with contextlib.suppress(OSError):  # nothing more yet, or nothing more at all
            while part := os.read(self._ours, 65_536):
                self._shown += part
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def until(self, words: str, times: int = 1) -> None:
        """Wait until these words were shown so often."""
        wait_until(lambda: self.shown.count(words) >= times, 60, f"{words!r} on the terminal")

    def press_ctrl_c(self) -> int:
        """The exit code that follows."""
        os.write(self._ours, b"\x03")
        return self._child.wait(30)
