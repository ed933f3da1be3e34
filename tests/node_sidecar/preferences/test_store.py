from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from node_sidecar.preferences import store as stores
from node_sidecar.preferences.model import Preferences
from node_sidecar.preferences.store import PreferenceStore
from tests.waiting import until


def test_node_yaml_overrules_what_join_was_given_and_options_overrule_both(tmp_path: Path) -> None:
    store = PreferenceStore(tmp_path, {}, {"queue": 3})
    store.keep_flags({"concurrency": 1, "queue": 1, "share": "10%"})
    (tmp_path / "node.yaml").write_text("queue: 2\nshare: 20%\n")
    preferences = store.load()
    assert (preferences.concurrency, preferences.share, preferences.queue) == (1, 20, 3)


def test_a_pause_is_not_forgotten(tmp_path: Path) -> None:
    PreferenceStore(tmp_path, {}, {}).pause()
    assert PreferenceStore(tmp_path, {}, {}).load().paused
    PreferenceStore(tmp_path, {}, {}).resume()
    assert not PreferenceStore(tmp_path, {}, {}).load().paused


def test_joining_again_without_options_forgets_the_old_ones(tmp_path: Path) -> None:
    store = PreferenceStore(tmp_path, {}, {})
    store.keep_flags({"concurrency": 1})
    store.keep_flags({})
    assert store.load() == Preferences()


async def test_a_change_is_followed_and_a_bad_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "INTERVAL", 0.01)
    store = PreferenceStore(tmp_path, {}, {})
    store.load()
    reported: asyncio.Queue[Preferences] = asyncio.Queue()
    following = asyncio.create_task(store.follow(reported.put_nowait, structlog.get_logger()))
    try:
        async with asyncio.timeout(60):
            (tmp_path / "node.yaml").write_text("concurrency: 2\n")
            assert (await reported.get()).concurrency == 2
            (tmp_path / "node.yaml").write_text("concurrency: lots\n")
            await until(lambda: store.problem)
            assert reported.empty()
            (tmp_path / "node.yaml").write_text("concurrency: 4\n")
            assert (await reported.get()).concurrency == 4
            assert store.problem == ""
    finally:
        following.cancel()
