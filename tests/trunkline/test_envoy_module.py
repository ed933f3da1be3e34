"""The module is compiled once for exactly its sources, and the error names what is missing."""

from __future__ import annotations

import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trunkline import envoy_module
from trunkline.envoy_module import LIBRARY, compiled, compiler, platform_name
from trunkline.errors import UsageError

pytestmark = pytest.mark.compiler

SOURCES = Path(envoy_module.__file__).parents[1] / "envoy" / "module"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    copied = tmp_path / "sources"
    shutil.copytree(SOURCES, copied, ignore=shutil.ignore_patterns("build"))
    return copied


def test_it_is_compiled_once_and_again_when_a_source_changes(sources: Path, tmp_path: Path) -> None:
    first = compiled(sources, tmp_path / "builds")
    made = (first / LIBRARY).stat().st_mtime_ns
    assert compiled(sources, tmp_path / "builds") == first
    assert (first / LIBRARY).stat().st_mtime_ns == made
    with (sources / "bytes.h").open("a") as header:
        header.write("// changed\n")
    second = compiled(sources, tmp_path / "builds")
    assert second != first
    assert sorted(path.name for path in second.iterdir()) == [LIBRARY]


@pytest.mark.compiler
def test_two_may_compile_at_once(sources: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: compiled(sources, tmp_path / "builds"), range(4)))
    (one,) = made
    assert [path.name for path in one.iterdir()] == [LIBRARY]


def test_a_missing_compiler_is_reported_with_the_command_that_installs_one(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UsageError, match=r"C compiler.*no-such-compiler.*pip install ziglang"):
        compiled(sources, tmp_path / "builds")


def test_the_systems_compiler_comes_before_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler() == (sys.executable, "-m", "ziglang", "cc")
    for name in ("clang", "cc"):
        (tmp_path / name).touch(mode=0o755)
        assert compiler() == (name,)
    monkeypatch.setenv("CC", "clang")
    assert compiler() == ("clang",)


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(sources: Path, tmp_path: Path) -> None:
    (sources / "bytes.c").write_text("this is not C\n")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"bytes\.c"):
            compiled(sources, tmp_path / "builds")


def test_what_a_distributor_has_compiled_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "trunkline"
    (package / "_envoy").mkdir(parents=True)
    (package / "_envoy" / LIBRARY).write_bytes(b"")
    monkeypatch.setattr(envoy_module, "__file__", str(package / "envoy_module.py"))
    monkeypatch.setenv("CC", "no-such-compiler")
    assert envoy_module.directory(tmp_path / "data") == package / "_envoy"


def test_a_wheel_has_one_for_each_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "trunkline"
    mine = package / "_envoy" / platform_name(platform.system(), platform.machine())
    for folder in (mine, package / "_envoy" / "plan9-mips"):
        folder.mkdir(parents=True)
        (folder / LIBRARY).write_bytes(b"")
    monkeypatch.setattr(envoy_module, "__file__", str(package / "envoy_module.py"))
    monkeypatch.setenv("CC", "no-such-compiler")
    assert envoy_module.directory(tmp_path / "data") == mine


def test_installed_without_it_the_data_directory_gets_it(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "trunkline"
    shutil.copytree(sources, package / "_envoy" / "module")
    monkeypatch.setattr(envoy_module, "__file__", str(package / "envoy_module.py"))
    made = envoy_module.directory(tmp_path / "data")
    assert made.parent == tmp_path / "data" / "module"
    assert (made / LIBRARY).is_file()
