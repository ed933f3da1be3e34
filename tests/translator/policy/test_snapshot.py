"""The policy on disk: complete or unusable."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from tests.translator import policies
from tests.waiting import until
from translator.errors import SnapshotError
from translator.policy.snapshot import PolicySnapshotWriter, load, save


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    contents = policies.default_store().contents()
    save(path, [])
    save(path, contents)
    assert load(path) == contents
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert load(tmp_path / "policy") is None


@pytest.mark.slow
def test_damage_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    save(path, policies.default_store().contents())
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(SnapshotError):
            load(path)
        path.write_bytes(whole[:position])
        with pytest.raises(SnapshotError):
            load(path)


def test_a_directory_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        load(tmp_path)


async def test_the_writer_saves_after_changes_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    store = policies.default_store()
    errors: list[OSError] = []
    writer = PolicySnapshotWriter(path, store.contents, errors.append, delay=0.0)
    store.on_change = writer.changed
    running = asyncio.create_task(writer.run())
    store.apply(policies.response(policies.ROUTE, policies.route("rt_2", "two")))
    await until(lambda: load(path) == store.contents())
    running.cancel()
    await asyncio.wait({running})
    store.apply(policies.response(policies.ROUTE, removed=["rt_2"]))
    await writer.flush()
    assert load(path) == store.contents()
    assert errors == []


async def test_a_failure_is_reported_and_tried_again(tmp_path: Path) -> None:
    directory = tmp_path / "missing"
    store = policies.default_store()
    failed = asyncio.Event()
    writer = PolicySnapshotWriter(directory / "policy", store.contents, lambda error: failed.set(), delay=0.0)
    running = asyncio.create_task(writer.run())
    writer.changed()
    await failed.wait()
    directory.mkdir()
    await until(lambda: load(directory / "policy") is not None)
    running.cancel()
    await asyncio.wait({running})
