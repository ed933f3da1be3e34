"""Markers name the programs that a test starts, and no program starts without its marker."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest

from tests import marking
from tests.fakes.provider_process import ProviderProcess
from tests.marking import FOLDERS, MARKERS, Guard, excludes, folder_markers, helper_markers, needs

ROOT = Path(__file__).parents[1]
QUICK = f"not ({' or '.join((*MARKERS, 'slow'))})"


def test_make_quick_leaves_out_every_marker() -> None:
    registered = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert {each.partition(":")[0] for each in registered} == {*MARKERS, "slow"}
    makefile = (ROOT / "Makefile").read_text()
    (starting,) = re.findall(r"^STARTING := (.*)$", makefile, re.MULTILINE)
    assert set(starting.split(" or ")) == set(MARKERS)
    assert "-m 'not ($(STARTING) or slow)'\n" in makefile


def test_folders_exist() -> None:
    assert all((ROOT / "tests" / folder).is_dir() for folder in FOLDERS)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (["/opt/bin/envoy", "-c", "x"], {"envoy"}),
        ([sys.executable, "-m", "trunkline", "up", "--data-dir", "d"], {"envoy"}),
        ([sys.executable, "-P", "-m", "bench"], {"envoy"}),
        ([sys.executable, "-m", "trunkline", "routes"], {"processes"}),
        ([sys.executable, "-m", "ziglang", "cc"], {"compiler"}),
        (["postgres", "-D", "x"], {"postgres"}),
        (["sleep", "1"], {"processes"}),
        ([], {"processes"}),
    ],
)
def test_a_command_needs(command: list[str], found: set[str]) -> None:
    assert needs(command) == found


def test_markers_of_a_folder() -> None:
    assert folder_markers(PurePath("gateway/nodes/test_nat.py")) == {"envoy"}
    assert folder_markers(PurePath("translator/test_body.py")) == set()


def test_a_folder_is_skipped_only_if_none_of_its_tests_can_be_selected() -> None:
    assert excludes(QUICK, {"envoy"})
    assert excludes("not envoy", {"envoy", "packages"})
    assert excludes("postgres and not envoy", {"envoy"})
    assert not excludes("envoy", {"envoy"})
    assert not excludes("postgres", {"envoy"})
    assert not excludes("slow or not envoy", {"envoy"})


def _started() -> ProviderProcess:
    return ProviderProcess("never started")


def test_a_helper_is_found_in_what_a_test_calls() -> None:
    def test_directly() -> None:
        ProviderProcess("never started").start()

    def test_through_a_function_of_its_module() -> None:
        assert _started().name

    def test_neither() -> None:
        assert needs([])

    assert helper_markers(test_directly) == {"processes"}
    assert helper_markers(test_through_a_function_of_its_module) == {"processes"}
    assert helper_markers(test_neither) == set()


@pytest.fixture
def guard(request: pytest.FixtureRequest) -> Iterator[Guard]:
    """A guard that watches the test in addition to the guard of the whole run."""
    guard = Guard()
    guard.watch(request.node)
    yield guard
    guard.watch(None)


def test_a_program_without_its_marker_is_noticed(guard: Guard) -> None:
    guard.hear("subprocess.Popen", ("envoy", ["envoy", "--version"], None, None))
    assert guard.unmarked == {"envoy"}
    guard.hear(marking.NEEDS, ("postgres",))
    assert guard.unmarked == {"envoy", "postgres"}


@pytest.mark.redis
def test_a_program_with_its_marker_is_not(guard: Guard) -> None:
    guard.hear("subprocess.Popen", ("redis-server", ["redis-server"], None, None))
    guard.hear("subprocess.Popen", (sys.executable, [sys.executable, "-c", ""], None, None))
    assert guard.unmarked == set()
    guard.hear("subprocess.Popen", ("sh", "envoy --version", None, None))
    assert guard.unmarked == {"envoy"}


@pytest.mark.processes
def test_the_run_fails_for_an_unmarked_test(tmp_path: Path) -> None:
    """A separate process runs this conftest.py and a test that starts a program."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import subprocess as processes, sys, pytest\n"
        "def test_unmarked(): processes.run([sys.executable, '-c', ''], check=True)\n"
        "@pytest.mark.processes\n"
        "def test_marked(): processes.run([sys.executable, '-c', ''], check=True)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n0", "-c", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, "-m", "not slow", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "it is not marked for: add pytest.mark.processes" in done.stdout
