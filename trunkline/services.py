"""The command lines of the processes of `trunkline up`: the interface to the services, which are never
imported.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trunkline import child_environment, envoy
from trunkline.address import Address
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory
from trunkline.supervisor.spawn import ChildCommand

_UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
# -P: the operator's current directory must not shadow imports.
_PYTHON = (sys.executable, "-P", "-m")
#: Envoy's log levels → the services'.
_PYTHON_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "critical": "error",
}
#: The minimum of tunnels per node if Envoy has fewer workers, so that the others remain if one breaks.
_FEWEST_TUNNELS = 4


@dataclass(frozen=True, slots=True)
class Tls:
    """Absolute paths of PEM files for the client and admin listeners; the control plane reads and watches them."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """The control plane's flags for TLS."""
        client_ca = () if self.client_ca is None else ("--tls-client-ca", str(self.client_ca))
        return ("--tls-cert", str(self.certificate), "--tls-key", str(self.key), *client_ca)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `trunkline up`. `config` is None to start without a file."""

    layout: Layout
    openai: Address
    admin: Address
    control: Address
    tunnel: Address
    tunnel_handshake: Address
    database_url: str
    config: Path | None
    envoy_binary: Path
    #: The directory of our module for Envoy.
    envoy_modules: Path
    envoy_concurrency: int
    envoy_memory: EnvoyMemory
    log_level: str
    #: Networks in which nodes may have direct addresses despite the default refusal.
    allow_direct: tuple[str, ...] = ()
    #: None: plain HTTP.
    tls: Tls | None = None
    #: Seconds for running requests after the signal to stop.
    drain_seconds: float = 30.0
    #: The URL at which nodes join; None: the address of `tunnel`.
    tunnel_url: str | None = None
    #: Seconds for which records of requests, and their hourly sums, are kept; 0 for ever, None for the default.
    usage_retention: int | None = None
    rollup_retention: int | None = None
    #: Seconds for which a person's session lasts without a call, and in any case; None for the default.
    session_idle: int | None = None
    session_lifetime: int | None = None

    @property
    def scheme(self) -> str:
        """The scheme of the client and admin listeners' URLs."""
        return "http" if self.tls is None else "https"


def services(
    settings: Settings, translator: socket.socket, inherited: Mapping[str, str]
) -> tuple[ChildCommand, ...]:
    """Returns the commands in the order of starting. They are stopped in reverse: Envoy first, so that the others
    see its last requests.
    """
    edge = child_environment.of_edge(inherited)
    return (_xds_server(settings, inherited), _translator(settings, translator, edge), _envoy(settings, edge))


def _xds_server(settings: Settings, inherited: Mapping[str, str]) -> ChildCommand:
    layout = settings.layout
    return ChildCommand(
        "xds_server",
        (
            *(*_PYTHON, "xds_server"),
            *("--data-dir", str(layout.data_dir)),
            *("--control-listen", str(settings.control)),
            *("--ads-socket", str(layout.xds_socket)),
            *("--rest-socket", str(layout.rest_socket)),
            *("--admin-token-file", str(layout.admin_token)),
            *("--openai-listen", str(settings.openai)),
            *("--admin-listen", str(settings.admin)),
            *("--tunnel-listen", str(settings.tunnel)),
            *("--tunnel-handshake-listen", str(settings.tunnel_handshake)),
            *("--max-unchecked-bytes", str(settings.envoy_memory.unchecked_bodies)),
            *("--max-key-bytes", str(settings.envoy_memory.bodies_of_a_key)),
            *("--max-total-bytes", str(settings.envoy_memory.all_bodies)),
            *("--node-tunnels", str(max(_FEWEST_TUNNELS, settings.envoy_concurrency))),
            *(word for network in settings.allow_direct for word in ("--allow-direct", network)),
            *(() if settings.tls is None else settings.tls.flags),
            *(() if settings.tunnel_url is None else ("--tunnel-url", settings.tunnel_url)),
            *_duration("--usage-retention", settings.usage_retention),
            *_duration("--rollup-retention", settings.rollup_retention),
            *_duration("--session-idle", settings.session_idle),
            *_duration("--session-lifetime", settings.session_lifetime),
            *("--trouble-file", str(layout.trouble)),
            *("--migration-file", str(layout.migration)),
            *("--bootstrap-key-file", str(layout.first_key)),
            *("--setup-link-file", str(layout.setup_link)),
            *("--log-level", _PYTHON_LEVELS[settings.log_level]),
            *("--access-log", str(layout.access_log)),
        ),
        # Passed in the environment: in the arguments, every process listing would show a password in the URL.
        child_environment.of_control_plane(inherited, settings.database_url) | _UNBUFFERED,
        layout.log("xds_server"),
    )


def _translator(settings: Settings, listening: socket.socket, edge: Mapping[str, str]) -> ChildCommand:
    layout = settings.layout
    return ChildCommand(
        "translator",
        (
            *(*_PYTHON, "translator"),
            *("--control", f"unix:{layout.xds_socket}"),
            *("--state-dir", str(layout.translator_state)),
            *("--ledger-dir", str(layout.ledger)),
            *("--envoy-admin-socket", str(layout.envoy_admin_socket)),
            *("--id", "translator-local"),
            *("--draining-file", str(layout.draining)),
            *("--starting-file", str(layout.starting)),
            *("--trouble-file", str(layout.trouble)),
            *("--log-level", _PYTHON_LEVELS[settings.log_level]),
        ),
        {**edge, **_UNBUFFERED},
        layout.log("translator"),
        listen=listening,
    )


def _envoy(settings: Settings, edge: Mapping[str, str]) -> ChildCommand:
    layout = settings.layout
    return ChildCommand(
        "envoy",
        (
            str(settings.envoy_binary),
            *("-c", str(layout.bootstrap)),
            *("--concurrency", str(settings.envoy_concurrency)),
            *("--service-node", "envoy-local", "--service-cluster", "envoy"),
            *("--log-level", settings.log_level),
            # Text of clients, nodes and providers cannot forge lines.
            "--log-format-escaped",
            # Lines that Envoy has not written when it is killed are lost to the ledger.
            *("--file-flush-interval-msec", "100"),
            "--disable-hot-restart",
            # When draining, it closes every connection after its next answer, not only some of them.
            *("--drain-strategy", "immediate"),
        ),
        {**edge, **envoy.environment(layout, settings.envoy_modules)},
        layout.log("envoy"),
        # It retries at growing intervals, so if it started first it would connect late.
        after=layout.xds_socket,
    )


def _duration(flag: str, seconds: int | None) -> tuple[str, ...]:
    return () if seconds is None else (flag, f"{seconds}s" if seconds else "0")


def admin_verb(
    settings: Settings, token: str, environment: Mapping[str, str], *verb: str, nice: int = 0
) -> ChildCommand:
    """Returns an admin command to run in a child: gRPC starts threads, which the supervisor must not have."""
    control = {"TRUNKLINE_CONTROL": f"unix:{settings.layout.xds_socket}", "TRUNKLINE_ADMIN_TOKEN": token}
    return ChildCommand(
        f"trunkline {verb[0]}", (*_PYTHON, "trunkline", *verb), {**environment, **control}, nice=nice
    )
