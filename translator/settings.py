"""The service's settings: one value, built once from the command line, read by `app`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translator.errors import SettingsError
from translator.logs import LEVELS

_MIB = 1024 * 1024
_ADDRESS = re.compile(r"unix:.+|(?:\[[0-9A-Fa-f:.]+\]|[^:/\s]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings. `control` is `unix:PATH` or `host:port`; `socket` is None if the listening socket is
    inherited.
    """

    control: str
    control_token: str = field(repr=False)
    state_dir: Path
    #: The directory where Envoy writes `access.log` and the ledger keeps its files.
    ledger_dir: Path
    id: str
    socket: Path | None
    log_level: str
    #: The socket on which Envoy accepts the command to reopen its log; None: the log is not rotated.
    envoy_admin_socket: Path | None = None
    #: While this file exists, /readyz answers 503; None: never.
    draining_file: Path | None = None
    #: While this file exists, the policy is incomplete: a missing object is no reason to refuse a request.
    starting_file: Path | None = None
    #: While this file exists, the control plane is in trouble, and /readyz answers 503 with the file's text.
    trouble_file: Path | None = None
    #: Bytes at which the log is rotated.
    log_rotation: int = 64 * _MIB
    #: Seconds after which a reservation without a line in the log counts as used.
    reservation_expiry: float = 15 * 60.0
    #: Seconds between two snapshots of the limits; later changes are replayed from the journal.
    limits_interval: float = 5.0
    #: Free bytes of the ledger's disk below which it is reported as low, and below which only Envoy writes to it.
    disk_low: int = 512 * _MIB
    disk_full: int = 64 * _MIB
    #: Bytes; the same as Envoy's limit, which answers first.
    max_body: int = 32 * 1024 * 1024
    #: Seconds from a change of the policy to its copy on disk.
    snapshot_delay: float = 0.5
    #: Seconds that requests have to finish after SIGTERM.
    grace: float = 5.0

    def draining(self) -> bool:
        """True if the gateway is about to end."""
        return self.draining_file is not None and self.draining_file.exists()

    def starting(self) -> bool:
        """True while the control plane is still being configured."""
        return self.starting_file is not None and self.starting_file.exists()

    def trouble(self) -> str:
        """Why the control plane cannot store anything; empty if it can."""
        try:
            return self.trouble_file.read_text() if self.trouble_file is not None else ""
        except FileNotFoundError:
            return ""

    @property
    def snapshot(self) -> Path:
        """The file with the policy that was stored last."""
        return self.state_dir / "policy.snapshot"

    @property
    def quotas(self) -> Path:
        """The file with the quotas and pauses that Envoy reported last."""
        return self.state_dir / "quotas"


def parse(arguments: Sequence[str], *, inherited: bool) -> tuple[Settings, bool]:
    """Returns the settings, and whether they are only to be checked (`--check-config`).

    `inherited` says that the parent process passed a listening socket.

    Raises:
        SettingsError: an option's value cannot work. A malformed command line exits with argparse's own message.
    """
    given = _parser().parse_args(arguments)
    if not _ADDRESS.fullmatch(given.control):
        raise SettingsError(f"--control: {given.control!r} is neither unix:PATH nor host:port")
    if given.socket is None and not inherited:
        raise SettingsError(
            "--socket: required, because no listening socket is inherited (LISTEN_FDS, LISTEN_PID)"
        )
    if given.disk_full_mib > given.disk_low_mib:
        raise SettingsError("--disk-full-mib: must not be above --disk-low-mib")
    if not given.limits_interval > 0:
        raise SettingsError("--limits-interval: must be above 0")
    state_dir = _directory(given.state_dir, "--state-dir")
    settings = Settings(
        control=given.control,
        control_token=_token(given.control_token_file),
        state_dir=state_dir,
        ledger_dir=_directory(given.ledger_dir, "--ledger-dir"),
        id=given.id,
        socket=None if inherited else given.socket,
        log_level=given.log_level,
        envoy_admin_socket=given.envoy_admin_socket,
        draining_file=given.draining_file,
        starting_file=given.starting_file,
        trouble_file=given.trouble_file,
        log_rotation=given.log_rotation_mib * _MIB,
        reservation_expiry=given.reservation_expiry,
        limits_interval=given.limits_interval,
        disk_low=given.disk_low_mib * _MIB,
        disk_full=given.disk_full_mib * _MIB,
    )
    return settings, given.check_config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m translator", description="Trunkline's authorisation service, one for each Envoy."
    )
    parser.add_argument(
        "--control", required=True, metavar="unix:PATH|HOST:PORT", help="address of the control plane's ADS"
    )
    parser.add_argument(
        "--control-token-file", type=Path, metavar="FILE", help="file with the bearer token for the control plane"
    )
    parser.add_argument(
        "--state-dir", required=True, type=Path, metavar="DIR", help="directory for the last policy"
    )
    parser.add_argument(
        "--ledger-dir", required=True, type=Path, metavar="DIR", help="directory with Envoy's access.log"
    )
    parser.add_argument(
        "--envoy-admin-socket",
        type=Path,
        metavar="PATH",
        help="Envoy's admin socket, needed to rotate its log; without it the log grows",
    )
    parser.add_argument(
        "--draining-file", type=Path, metavar="PATH", help="while this file exists, /readyz answers 503"
    )
    parser.add_argument(
        "--starting-file",
        type=Path,
        metavar="PATH",
        help="while this file exists, /readyz answers 503, and so does a request with an unknown key",
    )
    parser.add_argument(
        "--trouble-file",
        type=Path,
        metavar="PATH",
        help="while this file exists, /readyz answers 503 with its text",
    )
    parser.add_argument(
        "--log-rotation-mib", type=_positive, default=64, metavar="N", help="size at which the log is rotated"
    )
    parser.add_argument(
        "--reservation-expiry",
        type=_positive,
        default=900,
        metavar="SECONDS",
        help="seconds after which a reservation without a line in the log counts as used",
    )
    parser.add_argument(
        "--limits-interval",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="seconds between two snapshots of the limits on disk",
    )
    parser.add_argument(
        "--disk-low-mib",
        type=_positive,
        default=512,
        metavar="N",
        help="free space below which the ledger's disk is reported as low",
    )
    parser.add_argument(
        "--disk-full-mib",
        type=_positive,
        default=64,
        metavar="N",
        help="free space below which reservations are no longer journalled",
    )
    parser.add_argument("--id", required=True, metavar="NAME", help="unique among the control plane's clients")
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="Unix socket to bind; by default, one is inherited"
    )
    parser.add_argument("--log-level", choices=LEVELS, default="info")
    parser.add_argument("--check-config", action="store_true", help="validate the settings and exit")
    return parser


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


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _directory(path: Path, option: str) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{option}: {path} cannot be made: {error.strerror}") from error
    return path
