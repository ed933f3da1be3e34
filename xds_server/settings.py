"""The control plane's settings, read once in `__main__`."""

from __future__ import annotations

import hmac
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xds_server import flags
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
SECRET_KEY_VARIABLE = "TRUNKLINE_SECRET_KEY"  # noqa: S105  # the name, not the key


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
            self.allow_direct,
            (flags.address(self.control_listen), *(each for each in listeners if each is not None)),
        )


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Returns the settings from the command line and the environment.

    Raises SystemExit, like argparse, with the flag and what it accepts.
    """
    parser = flags.parser(environment)
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


def _url_of(listen: tuple[str, int] | None) -> str:
    """Returns a listener's URL; one that listens on every address goes by this machine's own name."""
    if listen is None:
        return ""
    host, port = listen
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = socket.gethostname()
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _system_ca_file() -> str:
    return next((path for path in _CA_FILES if Path(path).is_file()), _CA_FILES[0])
