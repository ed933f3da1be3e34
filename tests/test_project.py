"""The checks of `make check` as tests, and promises of the documents."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
C_FILES = [
    file for part in ("envoy/module", "tests/envoy/drivers", "fuzz/c") for file in (ROOT / part).glob("*.[ch]")
]
CHECKS: dict[str, list[str | Path]] = {
    "style": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "C format": [BIN / "clang-format", "--dry-run", "--Werror", *C_FILES],
    "types": [BIN / "mypy"],
    "imports": [BIN / "lint-imports"],
    "generated code": [sys.executable, "-m", "scripts.generate_proto", "--check"],
    "generated code of the console": [sys.executable, "-m", "scripts.generate_console_api", "--check"],
    "OpenAPI document": [sys.executable, "-m", "scripts.generate_openapi", "--check"],
    "libraries of the console": [sys.executable, "-m", "scripts.vendor_console", "--check"],
}


@pytest.mark.processes
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CHECKS)
def test_the_check_passes(name: str) -> None:
    done = subprocess.run(CHECKS[name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec make test")


def test_the_workflow_runs_the_oldest_and_the_newest_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [each.rpartition(" ")[2] for each in classifiers if re.search(r":: 3\.\d+$", each)]
    for job in workflow["jobs"].values():
        assert job["strategy"]["matrix"]["python"] == [versions[0], versions[-1]]
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    for target in ("make check", "make coverage", "make test"):
        assert any(target in command for command in commands)


def test_every_dependency_says_why_it_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    reasons = (ROOT / "docs/dependencies.md").read_text().lower()
    names = {re.split(r"[\[><=;~! ]", entry)[0].lower() for entry in listed}
    unexplained = {name for name in names if name not in reasons and not name.startswith(("types-", "grpc-stubs"))}
    assert not unexplained


def test_documents_link_to_files_that_exist() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


@pytest.mark.parametrize("package", ["xds_server", "translator", "node_sidecar", "trunkline"])
def test_modules_stay_small(package: str) -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py")}
    assert not {str(path): lines for path, lines in sizes.items() if lines > 500}
