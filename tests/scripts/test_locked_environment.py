from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts import locked_environment
from scripts.locked_environment import made_once, python_of, run


@pytest.fixture(autouse=True)
def environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    directory = tmp_path / "environments"
    monkeypatch.setattr(locked_environment, "ENVIRONMENTS", directory)
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "some.lock"
    file.write_text("one\n")
    return file


def test_it_is_made_once_for_several_who_ask_at_once(source: Path) -> None:
    made: list[Path] = []

    def make(directory: Path) -> None:
        directory.mkdir()
        made.append(directory)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: made_once("some", [source], make), range(8)))
    assert set(found) == set(made)
    assert len(made) == 1


def test_another_source_makes_another_one_in_its_place(source: Path) -> None:
    first = made_once("some", [source], Path.mkdir)
    other = made_once("some-other", [source], Path.mkdir)
    source.write_text("two\n")
    second = made_once("some", [source], Path.mkdir)
    assert first != second
    assert [first.exists(), second.exists(), other.exists()] == [False, True, True]


def test_one_that_was_not_finished_is_made_again(source: Path) -> None:
    def fail(directory: Path) -> None:
        directory.mkdir()
        (directory / "half").touch()
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError, match="the network is gone"):
        made_once("some", [source], fail)
    assert not (made_once("some", [source], Path.mkdir) / "half").exists()


@pytest.mark.packages
def test_a_lock_without_hashes_is_refused(source: Path) -> None:
    source.write_text("click==8.1.0\n")
    with pytest.raises(RuntimeError, match="must have a hash"):
        python_of(source)


@pytest.mark.processes
def test_a_command_that_fails_tells_its_output() -> None:
    with pytest.raises(RuntimeError, match="failed with status 3:\nsaid\n"):
        run(["sh", "-c", "echo said; exit 3"])
