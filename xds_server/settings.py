"""The control plane's settings, read once in `__main__`."""

from __future__ import annotations

import argparse
import hmac
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from xds_server.accounts.sessions import Lifetime
from xds_server.ledger.retention_periods import RetentionPeriods
from xds_server.nodes.direct import DirectAddresses, Network
from xds_server.resources.settings import EdgeSettings
from xds_server.store.url import DatabaseUrl
from xds_server.tls.files import TlsFiles

#: The files in which distributions keep the CAs that programs should trust.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS
)
#: Seconds of a session: each use of one is stored once a minute.
_SHORTEST_SESSION, _LONGEST_SESSION = 300, 366 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SECRET_KEY_VARIABLE = "TRUNKLINE_SECRET_KEY"  # noqa: S105  # the name, not the key
DATABASE_URL_VARIABLE = "TRUNKLINE_DATABASE_URL"
TUNNEL_URL_VARIABLE = "TRUNKLINE_TUNNEL_URL"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one control plane. `secret_key` is empty if `secret_key_file` is used.

    `tunnel_url` is the address that invitations give to nodes: `https://host:port`; empty without a tunnel
    listener.
    """

    database: DatabaseUrl
    secret_key_file: Path
    admin_token: str = field(repr=False)
    control_listen: str
    ads_socket: Path
    rest_socket: Path | None
    edge: EdgeSettings
    tunnel_url: str = ""
    retention: RetentionPeriods = field(default_factory=RetentionPeriods)
    #: The lifetimes of people's sessions in the console.
    sessions: Lifetime = field(default_factory=Lifetime)
    node_tunnels: int = 4
    allow_direct: tuple[Network, ...] = ()
    #: None: the clients' and the admin listener speak plain HTTP.
    tls_files: TlsFiles | None = None
    #: The file that says why the gateway is not ready while the control plane cannot store anything. None: nobody
    #: reads it.
    trouble_file: Path | None = None
    #: Holds the progress of migrations while they run at the start. None: nobody reads it.
    migration_file: Path | None = None
    secret_key: str = field(default="", repr=False)
    bootstrap_key_file: Path | None = None
    setup_link_file: Path | None = None
    log_level: str = "info"
    check_only: bool = False

    @property
    def running_clients(self) -> Path:
        """Returns the file that keeps which clients are connected to this process."""
        return self.secret_key_file.with_name("xds-clients.json")

    @property
    def console_url(self) -> str:
        """Returns the URL of the admin listener, as a browser on this machine reaches it."""
        scheme = "http" if self.tls_files is None else "https"
        return _url_of(self.edge.admin_listen).replace("https", scheme, 1)

    @property
    def direct_addresses(self) -> DirectAddresses:
        """Returns the direct addresses that nodes may have."""
        edge = self.edge
        listeners = [edge.openai_listen, edge.admin_listen, edge.tunnel_handshake_listen, edge.tunnel_listen]
        return DirectAddresses(
            self.allow_direct, (_address(self.control_listen), *(each for each in listeners if each is not None))
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leaves out the usage: `trunkline up` shows the end of the log, which should be the message."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Returns the settings from the command line and the environment.

    Raises SystemExit, like argparse, with the flag and what it accepts.
    """
    parser = _Parser(
        prog="xds_server", description="Trunkline's control plane: Admin gRPC, ADS, and the store behind them."
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="where secret.key is, and the SQLite file")
    parser.add_argument(
        "--database-url",
        default=environment.get(DATABASE_URL_VARIABLE, ""),
        help=f"sqlite:///PATH or postgresql://…; default: ${DATABASE_URL_VARIABLE}",
    )
    parser.add_argument("--control-listen", required=True, metavar="HOST:PORT", help="gRPC: Admin, ADS by token")
    parser.add_argument("--ads-socket", type=Path, required=True, help="Unix socket for ADS without a token")
    parser.add_argument(
        "--rest-socket",
        type=Path,
        help="Unix socket for REST, Envoy's cluster `rest`; default: none",
    )
    parser.add_argument("--admin-token-file", type=Path, required=True)
    parser.add_argument(
        "--openai-listen", type=_address, required=True, metavar="HOST:PORT", help="for every Envoy"
    )
    parser.add_argument(
        "--admin-listen", type=_address, required=True, metavar="HOST:PORT", help="for every Envoy"
    )
    parser.add_argument("--tunnel-listen", type=_address, metavar="HOST:PORT", help="for nodes; default: no nodes")
    parser.add_argument(
        "--tunnel-handshake-listen",
        type=_address,
        default=EdgeSettings().tunnel_handshake_listen,
        metavar="HOST:PORT",
        help="on loopback, for every Envoy itself; default: 127.0.0.1:8444",
    )
    for flag, of_what in (
        (
            "--tls-cert",
            "certificate chain of the clients' and the admin listener, PEM; read again when it changes",
        ),
        ("--tls-key", "its private key"),
        ("--tls-client-ca", "CAs, PEM: clients and operators then need a certificate of one of them"),
    ):
        parser.add_argument(flag, type=Path, metavar="FILE", help=of_what)
    parser.add_argument(
        "--trouble-file", type=Path, metavar="FILE", help="there while nothing can be stored; says why"
    )
    parser.add_argument(
        "--migration-file", type=Path, metavar="FILE", help="there while the database is migrated; says how far"
    )
    parser.add_argument("--bootstrap-key-file", type=Path, help="gets the first API key on the first start")
    parser.add_argument(
        "--setup-link-file", type=Path, help="gets the console's set-up link, with --bootstrap-key-file"
    )
    parser.add_argument("--max-body-bytes", type=int, default=EdgeSettings().max_body_bytes, help="of one request")
    for flag, default, of_what in (
        ("--max-unchecked-bytes", EdgeSettings().max_unchecked_bytes, "requests whose key is not checked yet"),
        ("--max-key-bytes", EdgeSettings().max_key_bytes, "the requests of one API key"),
        ("--max-total-bytes", EdgeSettings().max_total_bytes, "all requests"),
    ):
        parser.add_argument(
            flag, type=_bytes, default=default, metavar="N", help=f"that an Envoy holds of {of_what}"
        )
    parser.add_argument("--upstream-ca-file", default="", help="CAs for https providers; default: the system's")
    parser.add_argument("--access-log", default="", help="file of every Envoy's ledger; default: none")
    parser.add_argument(
        "--tunnel-url",
        type=_tunnel_url,
        default=environment.get(TUNNEL_URL_VARIABLE) or None,
        metavar="https://HOST:PORT",
        help=f"where nodes reach --tunnel-listen; default: ${TUNNEL_URL_VARIABLE}, or that address itself",
    )
    parser.add_argument(
        "--usage-retention", type=_duration, default="30d", help="how long single requests are kept; 0 = for ever"
    )
    parser.add_argument(
        "--rollup-retention",
        type=_duration,
        default="400d",
        help="how long sums are kept, at least as long as records; 0 = for ever",
    )
    parser.add_argument(
        "--session-idle", type=_lifetime, default="12h", help="how long a session lasts without a call, 5m to 366d"
    )
    parser.add_argument(
        "--session-lifetime", type=_lifetime, default="7d", help="how long a session lasts at all, 5m to 366d"
    )
    parser.add_argument(
        "--node-tunnels",
        type=_tunnels,
        default=4,
        help="how many each node keeps open; at least as many as Envoy has workers",
    )
    parser.add_argument(
        "--allow-direct",
        type=_networks,
        action="extend",
        default=[],
        metavar="NETWORK[,NETWORK…]",
        help="direct addresses of nodes that are refused by default, such as 127.0.0.0/8",
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--check-config", action="store_true", help="validate the settings and exit")
    given = parser.parse_args(arguments)
    try:
        database = DatabaseUrl.parse(given.database_url)
        token = given.admin_token_file.read_text().strip()
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--admin-token-file: {error}")
    if (given.tls_cert is None) != (given.tls_key is None):
        parser.error("--tls-cert and --tls-key: give both, or neither")
    if given.tls_client_ca is not None and given.tls_cert is None:
        parser.error("--tls-client-ca: needs --tls-cert and --tls-key")
    if not token:
        parser.error(f"--admin-token-file: {given.admin_token_file} is empty")
    return Settings(
        database=database,
        secret_key_file=given.data_dir / "secret.key",
        secret_key=environment.get(SECRET_KEY_VARIABLE, ""),
        admin_token=token,
        control_listen=given.control_listen,
        ads_socket=given.ads_socket,
        rest_socket=given.rest_socket,
        edge=EdgeSettings(
            openai_listen=given.openai_listen,
            admin_listen=given.admin_listen,
            max_body_bytes=given.max_body_bytes,
            max_unchecked_bytes=given.max_unchecked_bytes,
            max_key_bytes=given.max_key_bytes,
            max_total_bytes=given.max_total_bytes,
            ca_file=given.upstream_ca_file or _system_ca_file(),
            access_log=given.access_log,
            tunnel_listen=given.tunnel_listen,
            tunnel_handshake_listen=given.tunnel_handshake_listen,
            # The same after a restart and on every replica: a listener that changes drains its tunnels.
            tunnel_secret=hmac.digest(token.encode(), b"tunnel handshake", "sha256").hex(),
        ),
        tunnel_url=given.tunnel_url or _url_of(given.tunnel_listen),
        retention=RetentionPeriods.of(records=given.usage_retention, rollups=given.rollup_retention),
        sessions=Lifetime(idle=given.session_idle, absolute=given.session_lifetime),
        node_tunnels=given.node_tunnels,
        allow_direct=tuple(given.allow_direct),
        tls_files=None if given.tls_cert is None else TlsFiles(given.tls_cert, given.tls_key, given.tls_client_ca),
        trouble_file=given.trouble_file,
        migration_file=given.migration_file,
        bootstrap_key_file=given.bootstrap_key_file,
        setup_link_file=given.setup_link_file,
        log_level=given.log_level,
        check_only=given.check_config,
    )


def from_process() -> Settings:
    """Returns the settings of this process. Nothing else reads its arguments or environment."""
    return parse(sys.argv[1:], os.environ)


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _tunnel_url(text: str) -> str:
    if not re.fullmatch(r"https://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not https://HOST:PORT")
    return text.rstrip("/")


def _url_of(listen: tuple[str, int] | None) -> str:
    """Returns a listener's URL; one that listens on every address goes by this machine's own name."""
    if listen is None:
        return ""
    host, port = listen
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = socket.gethostname()
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _duration(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None and text != "0":
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 12h or 30d, or 0")
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _lifetime(text: str) -> int:
    seconds = _duration(text)
    if not _SHORTEST_SESSION <= seconds <= _LONGEST_SESSION:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; accepted: 5m to 366d")
    return seconds


def _bytes(text: str) -> int:
    # The module in Envoy reads at most 18 digits.
    if not re.fullmatch(r"[1-9]\d{0,17}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes")
    return int(text)


def _tunnels(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 999")
    return int(text)


def _networks(text: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(each.strip()) for each in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; accepted: networks such as 127.0.0.0/8,fd00::/8") from error


def _system_ca_file() -> str:
    return next((path for path in _CA_FILES if Path(path).is_file()), _CA_FILES[0])
