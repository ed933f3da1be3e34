"""The installer for Ubuntu and macOS in a scratch root: a real venv, a real wheel, and the TLS of a real gateway
to join.
"""

from __future__ import annotations

import asyncio
import configparser
import os
import plistlib
import stat
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.node_sidecar.support.pki import NODE
from tests.node_sidecar.support.registry import Gateway

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy/node"
STATE = "var/lib/trunkline-node"
UNIT = "etc/systemd/system/trunkline-node.service"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it is released. A machine without compiled modules compiles them for three systems."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path / "gateway") as running:
        yield running


class Installer:
    """Runs install.sh with `--root`. It uses the dependencies of this environment, so that it
    downloads nothing.
    """

    def __init__(self, root: Path, wheel: Path, system: str = "Linux") -> None:
        self.root = root
        self._wheel = wheel
        self._environment = {
            **os.environ,
            "PYTHON": sys.executable,
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "TRUNKLINE_INSTALL_SYSTEM": system,
            "TRUNKLINE_PIP_OPTIONS": "--no-deps --no-index --no-compile --force-reinstall",
        }

    async def run(self, *options: str, token: str = "") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            str(DEPLOY / "install.sh"),
            "--root",
            str(self.root),
            "--package",
            str(self._wheel),
            *options,
            env={**self._environment, **({"TRUNKLINE_JOIN_TOKEN": token} if token else {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    def files(self) -> set[str]:
        """Returns the installed files, without those of the program itself."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}
        return {path for path in found if "/venv/" not in path}


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_install_join_again_and_uninstall(gateway: Gateway, tmp_path: Path, wheel: Path) -> None:
    install = Installer(tmp_path / "a root", wheel)
    options = ("--url", gateway.url, "--name", "my lab", "--upstream", "http://127.0.0.1:1", "--concurrency", "3")
    code, output = await install.run(*options, token=gateway.issuer.token())
    assert code == 0, output
    assert f"as my lab ({NODE})" in output
    installed = {UNIT, "usr/local/bin/trunkline-node"} | {
        f"{STATE}/{name}" for name in ("node.json", "ca.pem", "identity.pem", "flags.yaml")
    }
    assert install.files() == installed
    assert stat.S_IMODE((install.root / STATE).stat().st_mode) == 0o700
    assert (install.root / "usr/local/bin/trunkline-node").readlink() == Path(
        "/opt/trunkline-node/venv/bin/trunkline-node"
    )
    identity = (install.root / STATE / "identity.pem").read_bytes()

    # On the second run the token is used up, and not needed.
    code, output = await install.run(*options, token=gateway.issuer.token())
    assert code == 0, output
    assert install.files() == installed
    assert (install.root / STATE / "identity.pem").read_bytes() == identity
    assert len(gateway.enrolled) == 1

    code, output = await install.run("--uninstall")
    assert code == 0, output
    assert install.files() == {f for f in installed if f.startswith(STATE)}
    assert not (install.root / "opt/trunkline-node").exists()
    assert not gateway.left

    code, output = await install.run("--uninstall", "--purge")
    assert code == 0, output
    assert install.files() == set()


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_purging_leaves_the_gateway_and_macos_has_its_own_places(
    gateway: Gateway, tmp_path: Path, wheel: Path
) -> None:
    install = Installer(tmp_path / "root", wheel, "Darwin")
    # An existing venv is kept. This one saves the time to create one, and uses this environment's pip.
    venv.create(install.root / "opt/trunkline-node/venv", symlinks=True)
    code, output = await install.run("--url", gateway.url, token=gateway.issuer.token())
    assert code == 0, output
    described = plistlib.loads((install.root / "Library/LaunchDaemons/io.trunkline.node.plist").read_bytes())
    assert described["ProgramArguments"][0] == "/opt/trunkline-node/venv/bin/trunkline-node"
    state = described["EnvironmentVariables"]["TRUNKLINE_NODE_STATE_DIR"]
    assert (install.root / state.lstrip("/") / "node.json").exists()
    code, output = await install.run("--uninstall", "--purge")
    assert code == 0, output
    assert gateway.left == [NODE]
    assert install.files() == set()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--what",), "--what is not known"),
        (("--url",), "--url needs a value"),
        (("--purge",), "--purge goes with --uninstall"),
        (("--prefix", "here"), "--prefix must begin with /"),
    ],
)
async def test_wrong_options_change_nothing(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    code, output = await Installer(tmp_path / "root", tmp_path / "no.whl").run(*options)
    assert code == 1
    assert says in output
    assert not (tmp_path / "root").exists()


@pytest.mark.processes
def test_the_installer_is_clean() -> None:
    checked = [str(Path(sys.executable).parent / "shellcheck"), str(DEPLOY / "install.sh")]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_units_start_the_same_command() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "trunkline-node.service")
    service = unit["Service"]
    plist = plistlib.loads((DEPLOY / "io.trunkline.node.plist").read_bytes())
    assert service["ExecStart"].replace('"', "").split() == plist["ProgramArguments"]
    # Errors that a person must fix are not retried for ever (errors.py).
    assert service["RestartPreventExitStatus"].split() == ["3", "4", "5", "6"]
    assert plist["KeepAlive"] == {"SuccessfulExit": False}
    assert plist["Umask"] == 0o077


def test_the_image_runs_as_nobody_of_importance() -> None:
    lines = [
        line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert "USER 10001" in lines
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    names = {name for each in copied for name in each}
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not missing
    needed = set(_what_a_wheel_is_made_of())
    lost = [each for each in needed if not any(each == name or each.startswith(f"{name}/") for name in names)]
    assert not lost, "deploy/node/Dockerfile does not copy what pyproject.toml builds the wheel of"


def _what_a_wheel_is_made_of() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    yield from ("pyproject.toml", project["project"]["readme"], *project["project"]["license-files"])
    yield from (*wheel["packages"], *wheel["force-include"], wheel["hooks"]["custom"]["path"])


def test_the_windows_installer_takes_what_the_other_takes() -> None:
    """PowerShell is not available here, so the test only compares its options and the places of its names."""
    script = (DEPLOY / "install.ps1").read_text()
    for option in ("Url", "Token", "Name", "Upstream", "Direct", "Concurrency", "Replace", "Package", "Purge"):
        assert f"${option}" in script
    for opening, closing in ("{}", "()", "[]"):
        assert script.count(opening) == script.count(closing)
    assert "TRUNKLINE_JOIN_TOKEN" in script
    assert "'--if-needed'" in script
