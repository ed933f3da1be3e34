"""The log across rotations, the journal, and files that are replaced atomically."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import structlog

from translator.errors import LedgerFileError
from translator.ledger import durable
from translator.ledger.disk import DiskState, DiskWatch
from translator.ledger.journal import Journal
from translator.ledger.reader import LogReader
from translator.ledger.segments import START, LogPosition, Segments

LOG = structlog.get_logger()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_torn_line_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    reader = LogReader(Segments(tmp_path, "access"), START)
    assert reader.read(100).lines == []  # no file yet
    path.write_bytes(b"one\ntw")
    assert reader.read(100).lines == [b"one"]
    assert reader.read(100).lines == []
    with path.open("ab") as file:
        file.write(b"o\n")
    found = reader.read(100)
    assert (found.lines, found.start, found.end) == ([b"two"], LogPosition(1, 4), LogPosition(1, 8))


def test_a_line_longer_than_a_step_is_read_and_endless_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(b"x" * 5000 + b"\n" + b"y" * 1_100_000 + b"\nz\n")
    reader = LogReader(Segments(tmp_path, "access"), START)
    assert [len(line) for line in reader.read(16).lines] == [5000]
    assert reader.read(16).skipped == 1024 * 1024
    assert reader.read(200_000).lines[-1] == b"z"


def test_a_rotated_file_is_left_when_its_writer_has_let_go(tmp_path: Path) -> None:
    clock = Clock()
    segments = Segments(tmp_path, "access")
    segments.current.write_bytes(b"one\n")
    reader = LogReader(segments, START, clock)
    assert reader.read(100).lines == [b"one"]
    writer = segments.current.open("ab")
    segments.rotate()
    writer.write(b"two\n")
    writer.flush()
    assert reader.read(100).lines == [b"two"]
    assert reader.read(100).end.file == 1  # Envoy has not reopened
    segments.current.write_bytes(b"three\n")
    assert not reader.is_last
    assert reader.read(100).end.file == 1  # Envoy may still be writing
    writer.write(b"late\ntorn")
    writer.close()
    assert reader.read(100).lines == [b"late"]
    reader.read(100)
    clock.now = 2.0
    moved = reader.read(100)
    assert (moved.end, moved.skipped) == (LogPosition(2, 0), 4)
    assert reader.read(100).lines == [b"three"]
    assert Segments(tmp_path, "access").number == 2
    segments.remove_before(2)
    assert Segments(tmp_path, "access", (LogPosition(2, 6),)).number == 2
    reader.close()


def test_positions_survive_what_others_do_to_the_files(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(b"new\n")
    truncated = LogReader(Segments(tmp_path, "access"), LogPosition(1, 500))
    truncated.read(100)
    assert truncated.read(100).lines == [b"new"]
    (tmp_path / "access.7.log").write_bytes(b"old\n")
    deleted = LogReader(Segments(tmp_path, "access"), LogPosition(3, 9))
    deleted.read(100)
    assert deleted.read(100).lines == [b"old"]


def test_the_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    journal = Journal(tmp_path, START, LOG)
    assert journal.append(["r", "a"])
    middle = journal.position
    journal.rotate()
    assert journal.append(["r", "b", (1, 2)])
    journal.close()
    with (tmp_path / "reservations.log").open("ab") as file:
        file.write(b'["r","torn')
    journal = Journal(tmp_path, middle, LOG)
    assert list(journal.entries(START)) == [["r", "a"], ["r", "b", [1, 2]]]
    assert list(journal.entries(middle)) == [["r", "b", [1, 2]]]
    assert journal.append(["r", "c"])
    assert list(journal.entries(middle))[-1] == ["r", "c"]
    journal.forget(journal.position.file)
    assert [path.name for path in tmp_path.iterdir()] == ["reservations.log"]
    journal.close()


def test_the_journal_writes_what_was_gathered_in_one_piece_and_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, START, LOG)
    journal.gather(["r", "a"])
    journal.gather(["r", "b"])
    assert list(journal.entries(START)) == []
    assert journal.flush()
    assert list(journal.entries(START)) == [["r", "a"], ["r", "b"]]
    journal.gather(["r", "c"])
    assert journal.append(["x", "a"])
    journal.gather(["r", "d"])
    journal.rotate()
    before = journal.position
    journal.gather(["r", "e"])
    journal.close()
    assert list(journal.entries(START))[2:] == [["r", "c"], ["x", "a"], ["r", "d"], ["r", "e"]]
    assert list(journal.entries(before)) == [["r", "e"]]
    journal.suspended = True
    journal.gather(["r", "f"])
    journal.gather(["r", "g"])
    assert not journal.flush()
    assert journal.errors == 2
    journal.suspended = False
    assert journal.flush()
    assert len(list(journal.entries(START))) == 6


def test_a_journal_that_cannot_grow_says_so_once_and_goes_on(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        journal = Journal(tmp_path, START, structlog.get_logger())
        assert journal.append(["r", "first"])
        whole = journal.position
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Half of the next entry fits; what was written of it is taken back.
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole.offset + 5, before[1]))
        try:
            assert not journal.append(["r", "second"])
            assert not journal.append(["r", "third"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (journal.errors, journal.position, len(logged)) == (2, whole, 1)
    assert journal.append(["r", "fourth"])
    assert list(journal.entries(START)) == [["r", "first"], ["r", "fourth"]]
    journal.suspended = True
    assert not journal.append(["r", "fifth"])
    journal.close()


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert durable.load(path) is None
    durable.save(path, b'{"a":1}')
    durable.save(path, b'{"a":2}')
    assert durable.load(path) == {"a": 2}
    assert (path.stat().st_mode & 0o777, len(list(tmp_path.iterdir()))) == (0o600, 1)
    content = path.read_bytes()
    for damaged in (content[:-1], content.replace(b"2", b"3"), b"", b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(LedgerFileError, match="damaged"):
            durable.load(path)


def test_disk_space(tmp_path: Path) -> None:
    free = [10_000]

    def statvfs(path: Path) -> os.statvfs_result:
        if free[0] < 0:
            raise OSError(5, "Input/output error")
        return os.statvfs_result((1, 1, 0, 0, free[0], 0, 0, 0, 0, 255))

    with structlog.testing.capture_logs() as logged:
        watch = DiskWatch(tmp_path, 1000, 100, structlog.get_logger(), statvfs)
        states = []
        for free[0] in (10_000, 999, 500, 99, -1, 5000):
            states += [watch.look()]
    low, full = DiskState.LOW, DiskState.FULL
    assert states == [DiskState.OK, low, low, full, full, DiskState.OK]
    assert [each["state"] for each in logged] == ["low", "full", "ok"]
