"""The service's settings: one value, built once from the command line, read by `app`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translator.errors import SettingsError
from translator.logs import LEVELS

_ADDRESS = re.compile(r"unix:.+|(?:\[[0-9A-Fa-f:.]+\]|[^:/\s]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Settings:
    """`control` is `unix:PATH` or `host:port`; `socket` is None where the listening socket is inherited."""

    control: str
    control_token: str = field(repr=False)
    state_dir: Path
    id: str
    socket: Path | None
    log_level: str
    #: Bytes; the same as Envoy's limit, which answers first.
    max_body: int = 32 * 1024 * 1024
    #: Seconds from a change of the policy to its copy on disk.
    snapshot_delay: float = 0.5
    #: Seconds that requests have to finish after SIGTERM.
    grace: float = 5.0

    @property
    def snapshot(self) -> Path:
        return self.state_dir / "policy.snapshot"


def parse(arguments: Sequence[str], *, inherited: bool) -> tuple[Settings, bool]:
    """The settings, and whether they are only to be checked (`--check-config`).

    `inherited`: there is a listening socket from whoever started this process.

    Raises:
        SettingsError: an option's value cannot work. A malformed command line exits with argparse's own message.
    """
    parser = argparse.ArgumentParser(
        prog="python -m translator", description="Trunkline's authorisation service, one beside each Envoy."
    )
    parser.add_argument("--control", required=True, metavar="unix:PATH|HOST:PORT", help="the control plane's ADS")
    parser.add_argument("--control-token-file", type=Path, metavar="FILE", help="sent to it as a bearer token")
    parser.add_argument("--state-dir", required=True, type=Path, metavar="DIR", help="keeps the last policy")
    parser.add_argument("--id", required=True, metavar="NAME", help="unique among the control plane's clients")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="Unix socket to bind (else one is inherited)")
    parser.add_argument("--log-level", choices=LEVELS, default="info")
    parser.add_argument("--check-config", action="store_true", help="validate the settings and exit")
    given = parser.parse_args(arguments)
    if not _ADDRESS.fullmatch(given.control):
        raise SettingsError(f"--control: {given.control!r} is neither unix:PATH nor host:port")
    if given.socket is None and not inherited:
        raise SettingsError("--socket: needed, as no listening socket is inherited (LISTEN_FDS, LISTEN_PID)")
    settings = Settings(
        control=given.control,
        control_token=_token(given.control_token_file),
        state_dir=_directory(given.state_dir),
        id=given.id,
        socket=None if inherited else given.socket,
        log_level=given.log_level,
    )
    return settings, given.check_config


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--control-token-file: {path} cannot be read ({type(error).__name__})") from error
    if not token or not token.isascii() or not token.isprintable():
        raise SettingsError(f"--control-token-file: {path} does not hold one line of visible ASCII")
    return token


def _directory(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--state-dir: {path} cannot be made: {error.strerror}") from error
    return path
