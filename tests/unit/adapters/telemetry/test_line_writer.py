"""Against real pipes and files: what waits in a pipe, and what a full disk is, no double shows."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.telemetry.log_lines import LineWriter

# A pipe of this size is full after a few lines.
_SMALLEST = 4096
_PATIENCE = 30.0
_LINE = b"x" * 99 + b"\n"


class Reader:
    """The reading end of a pipe; it reads when told to."""

    def __init__(self) -> None:
        self.descriptor, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, _SMALLEST)

    def lines(self, count: int) -> list[bytes]:
        """So many lines, waited for."""
        read = b""
        while read.count(b"\n") < count:
            ready, _, _ = select.select([self.descriptor], [], [], _PATIENCE)
            assert ready, f"of {count} lines came {read!r}"
            read += os.read(self.descriptor, 2**16)
        return read.splitlines(keepends=True)

    def close(self) -> None:
        """Read nothing ever again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A pipe; its writer finds it closed at the end, and rests."""
    reader = Reader()
    yield reader
    reader.close()


class Losses:
    """What a writer tells of lost lines."""

    def __init__(self, writer: LineWriter) -> None:
        self.count = 0
        writer.report_losses_with(lambda count: b"%d lost\n" % count, self._add)

    def _add(self) -> None:
        self.count += 1


def test_lines_arrive_whole_and_in_order(reader: Reader) -> None:
    """A thousand lines, more than the pipe takes, of which none is lost."""
    writer = LineWriter(reader.writing)
    losses = Losses(writer)

    for number in range(1_000):
        writer.write(b"%d\n" % number)
    lines = reader.lines(1_000)

    assert lines == [b"%d\n" % number for number in range(1_000)]
    assert losses.count == 0


def test_a_line_of_several_pieces_stays_in_order(reader: Reader) -> None:
    """A line that the pipe takes only in part is written to its end before the next one."""
    writer = LineWriter(reader.writing)
    lines = [b"first\n", b"y" * 10_000 + b"\n", b"last\n"]

    for line in lines:
        writer.write(line)

    assert reader.lines(3) == lines


def test_lines_that_nobody_reads_are_dropped_and_counted(reader: Reader) -> None:
    """The buffer takes 50 lines and the pipe 40; the others are lost, and nothing waits."""
    writer = LineWriter(reader.writing, most=50 * len(_LINE))
    losses = Losses(writer)

    for _ in range(1_000):
        writer.write(_LINE)

    assert 1_000 - 50 - 2 * 40 <= losses.count <= 1_000 - 50


def test_one_line_says_how_many_were_lost(reader: Reader) -> None:
    """It stands between the last line that was kept and the first one after the gap."""
    writer = LineWriter(reader.writing, most=50 * len(_LINE))
    losses = Losses(writer)
    for _ in range(1_000):
        writer.write(_LINE)
    kept = 1_000 - losses.count

    before = reader.lines(kept + 1)
    writer.write(b"it goes on\n")
    after = reader.lines(1)

    assert before == [*[_LINE] * kept, b"%d lost\n" % losses.count]
    assert after == [b"it goes on\n"]


def test_a_flush_waits_for_a_reader_that_is_there(reader: Reader) -> None:
    """The last lines are written before it returns."""
    writer = LineWriter(reader.writing)
    for _ in range(20):
        writer.write(_LINE)

    writer.flush(_PATIENCE)

    assert os.read(reader.descriptor, 2**16) == _LINE * 20


def test_a_flush_gives_up_on_a_reader_that_reads_nothing(reader: Reader) -> None:
    """It returns although lines are left."""
    writer = LineWriter(reader.writing)
    for _ in range(200):
        writer.write(_LINE)

    writer.flush(0.05)

    assert select.select([reader.descriptor], [], [], 0)[0]


def test_a_closed_pipe_costs_the_lines_alone(reader: Reader) -> None:
    """Each is counted, and none raises."""
    reader.close()
    writer = LineWriter(reader.writing)
    losses = Losses(writer)

    for _ in range(10):
        writer.write(_LINE)
        writer.flush(_PATIENCE)

    assert losses.count == 10


def test_a_disk_that_has_room_again_is_told_what_it_missed(tmp_path: Path) -> None:
    """Lines that could not be written are told before the first one that can."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(descriptor)
    losses = Losses(writer)
    for _ in range(3):
        writer.write(_LINE)
        writer.flush(_PATIENCE)
    file = tmp_path / "log"
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)

    writer.write(_LINE)
    writer.flush(_PATIENCE)

    assert file.read_bytes() == b"3 lost\n" + _LINE
    assert losses.count == 3


def test_a_pipe_that_another_process_made_non_blocking_loses_nothing(reader: Reader) -> None:
    """The flag belongs to all who share the pipe; the writer waits for room."""
    os.set_blocking(reader.writing, False)
    writer = LineWriter(reader.writing)
    losses = Losses(writer)

    for _ in range(200):
        writer.write(_LINE)
    lines = reader.lines(200)

    assert (len(lines), losses.count) == (200, 0)


def test_a_thread_that_cannot_start_is_tried_again(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system allows no more threads for a moment, the log is late, not silent."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = LineWriter(reader.writing)
    with monkeypatch.context() as moment:
        moment.setattr(threading.Thread, "start", refuse)
        writer.write(b"first\n")

    writer.write(b"second\n")

    assert reader.lines(2) == [b"first\n", b"second\n"]


@pytest.mark.parametrize("path", ["/dev/null", "log"])
def test_files_take_all(tmp_path: Path, path: str) -> None:
    """A file and /dev/null lose nothing."""
    writer = LineWriter(os.open(tmp_path / path, os.O_WRONLY | os.O_CREAT))
    losses = Losses(writer)

    for _ in range(100):
        writer.write(_LINE)
    writer.flush(_PATIENCE)

    assert losses.count == 0
    assert path == "/dev/null" or (tmp_path / path).read_bytes() == _LINE * 100


def test_a_terminal_takes_all() -> None:
    """Lines arrive at a terminal."""
    controlling, terminal = os.openpty()
    writer = LineWriter(terminal)

    writer.write(b"a line\n")
    writer.flush(_PATIENCE)

    assert os.read(controlling, 100).splitlines() == [b"a line"]
