"""The control plane's command line: its flags, and the texts that each of them accepts."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from xds_server.nodes.direct import Network
from xds_server.resources.settings import EdgeSettings

#: Seconds of a session: each use of one is stored once a minute.
_SHORTEST_SESSION, _LONGEST_SESSION = 300, 366 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DATABASE_URL_VARIABLE = "TRUNKLINE_DATABASE_URL"
TUNNEL_URL_VARIABLE = "TRUNKLINE_TUNNEL_URL"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leaves out the usage: `trunkline up` shows the end of the log, which should be the message."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Returns the parser of the command line; `environment` has the defaults of some flags."""
    flags = _Parser(
        prog="xds_server", description="Trunkline's control plane: Admin gRPC, ADS, and the store behind them."
    )
    _add_database_and_addresses(flags, environment)
    _add_files(flags)
    _add_bounds(flags)
    _add_periods_and_nodes(flags, environment)
    flags.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    flags.add_argument("--check-config", action="store_true", help="validate the settings and exit")
    return flags


def _add_database_and_addresses(flags: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    flags.add_argument(
        "--data-dir", type=Path, required=True, help="directory of secret.key and of the SQLite database"
    )
    flags.add_argument(
        "--database-url",
        default=environment.get(DATABASE_URL_VARIABLE, ""),
        help=f"sqlite:///PATH or postgresql://…; default: ${DATABASE_URL_VARIABLE}",
    )
    flags.add_argument(
        "--control-listen", required=True, metavar="HOST:PORT", help="address of gRPC: Admin, and ADS with a token"
    )
    flags.add_argument("--ads-socket", type=Path, required=True, help="Unix socket for ADS without a token")
    flags.add_argument(
        "--rest-socket",
        type=Path,
        help="Unix socket for REST, to which Envoy's cluster `rest` leads; default: none",
    )
    flags.add_argument("--admin-token-file", type=Path, required=True)
    flags.add_argument(
        "--openai-listen", type=address, required=True, metavar="HOST:PORT", help="clients' address at every Envoy"
    )
    flags.add_argument(
        "--admin-listen",
        type=address,
        required=True,
        metavar="HOST:PORT",
        help="operators' address at every Envoy",
    )
    flags.add_argument(
        "--tunnel-listen", type=address, metavar="HOST:PORT", help="address for nodes; default: no nodes"
    )
    flags.add_argument(
        "--tunnel-handshake-listen",
        type=address,
        default=EdgeSettings().tunnel_handshake_listen,
        metavar="HOST:PORT",
        help="loopback address at which every Envoy hands tunnels to itself; default: 127.0.0.1:8444",
    )


def _add_files(flags: argparse.ArgumentParser) -> None:
    for flag, of_what in (
        (
            "--tls-cert",
            "certificate chain of the clients' and the admin listener, PEM; read again when it changes",
        ),
        ("--tls-key", "its private key"),
        ("--tls-client-ca", "CAs, PEM: clients and operators then need a certificate of one of them"),
    ):
        flags.add_argument(flag, type=Path, metavar="FILE", help=of_what)
    flags.add_argument(
        "--trouble-file",
        type=Path,
        metavar="FILE",
        help="file that says why nothing can be stored; exists only meanwhile",
    )
    flags.add_argument(
        "--migration-file",
        type=Path,
        metavar="FILE",
        help="file with the progress of a migration; exists only meanwhile",
    )
    flags.add_argument(
        "--bootstrap-key-file", type=Path, help="file for the first API key, written on the first start"
    )
    flags.add_argument(
        "--setup-link-file",
        type=Path,
        help="file for the console's set-up link, written with --bootstrap-key-file",
    )
    flags.add_argument("--upstream-ca-file", default="", help="CAs for https providers; default: the system's")
    flags.add_argument(
        "--access-log", default="", help="file to which every Envoy writes its access log; default: none"
    )


def _add_bounds(flags: argparse.ArgumentParser) -> None:
    flags.add_argument(
        "--max-body-bytes", type=int, default=EdgeSettings().max_body_bytes, help="maximum body of a request"
    )
    for flag, default, of_what in (
        ("--max-unchecked-bytes", EdgeSettings().max_unchecked_bytes, "requests whose key is not checked yet"),
        ("--max-key-bytes", EdgeSettings().max_key_bytes, "the requests of one API key"),
        ("--max-total-bytes", EdgeSettings().max_total_bytes, "all requests"),
    ):
        flags.add_argument(
            flag,
            type=_bytes,
            default=default,
            metavar="N",
            help=f"maximum bytes of bodies that an Envoy holds for {of_what}",
        )


def _add_periods_and_nodes(flags: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    flags.add_argument(
        "--tunnel-url",
        type=_tunnel_url,
        default=environment.get(TUNNEL_URL_VARIABLE) or None,
        metavar="https://HOST:PORT",
        help=f"URL at which nodes reach --tunnel-listen; default: ${TUNNEL_URL_VARIABLE}, or that address itself",
    )
    flags.add_argument(
        "--usage-retention", type=_duration, default="30d", help="how long single requests are kept; 0 = for ever"
    )
    flags.add_argument(
        "--rollup-retention",
        type=_duration,
        default="400d",
        help="how long sums are kept, at least as long as records; 0 = for ever",
    )
    flags.add_argument(
        "--session-idle", type=_lifetime, default="12h", help="how long a session lasts without a call, 5m to 366d"
    )
    flags.add_argument(
        "--session-lifetime", type=_lifetime, default="7d", help="how long a session lasts in all, 5m to 366d"
    )
    flags.add_argument(
        "--node-tunnels",
        type=_tunnels,
        default=4,
        help="tunnels that each node keeps open; at least as many as Envoy has workers",
    )
    flags.add_argument(
        "--allow-direct",
        type=_networks,
        action="extend",
        default=[],
        metavar="NETWORK[,NETWORK…]",
        help="networks, refused by default, in which nodes may have direct addresses, such as 127.0.0.0/8",
    )


def address(text: str) -> tuple[str, int]:
    """Returns the host and the port of `HOST:PORT`. Raises ArgumentTypeError."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _tunnel_url(text: str) -> str:
    if not re.fullmatch(r"https://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not https://HOST:PORT")
    return text.rstrip("/")


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
