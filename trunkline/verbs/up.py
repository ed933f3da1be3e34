"""`trunkline up`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

import click

from trunkline import address, child_environment, envoy, envoy_module, memory
from trunkline.address import Address
from trunkline.config import loader
from trunkline.errors import UsageError
from trunkline.gateway import run
from trunkline.join_commands import TUNNEL_URL
from trunkline.layout import Layout
from trunkline.parameters import SecondsFlag
from trunkline.services import Settings, Tls

_DEFAULT_CONFIG = Path("trunkline.yaml")


@click.command(
    epilog="""\b
Examples:
  trunkline up
  OPENAI_API_KEY=… trunkline up
  trunkline up --config trunkline.yaml --data-dir /var/lib/trunkline
  trunkline up --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem
"""
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="The directory for all of the gateway's data.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file to apply at the start.  [default: ./trunkline.yaml if it exists]",
)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Address of the OpenAI-compatible API.",
)
@click.option(
    "--admin-listen",
    default="127.0.0.1:8081",
    show_default=True,
    metavar="HOST:PORT",
    help="Address of health, metrics, admin API and console.",
)
@click.option(
    "--control-listen",
    default="127.0.0.1:18000",
    show_default=True,
    metavar="HOST:PORT",
    help="Address of the control plane's gRPC.",
)
@click.option(
    "--tunnel-listen",
    default="127.0.0.1:8443",
    show_default=True,
    metavar="HOST:PORT",
    help="Address at which nodes join and open their tunnels (TLS).",
)
@click.option(
    "--tunnel-url",
    metavar="https://HOST:PORT",
    envvar="TRUNKLINE_TUNNEL_URL",
    help="URL at which nodes reach --tunnel-listen.  [default: that address, or this machine's name]",
)
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificate chain (PEM) of --listen and --admin-listen; read again when it changes.",
)
@click.option(
    "--tls-key", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Its private key (PEM)."
)
@click.option(
    "--tls-client-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CAs (PEM): clients and operators then need a certificate issued by one of them.",
)
@click.option(
    "--database-url",
    metavar="URL",
    envvar="TRUNKLINE_DATABASE_URL",
    help="URL of the database, for example PostgreSQL.  [default: SQLite in the data directory]",
)
@click.option(
    "--envoy-concurrency",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    help="Envoy's worker threads.  [default: one per CPU]",
)
@click.option(
    "--envoy-memory",
    metavar="SIZE",
    help="Memory above which Envoy refuses requests, e.g. 4GiB.  [default: half of the machine's or container's]",
)
@click.option(
    "--allow-direct",
    multiple=True,
    metavar="NETWORK[,NETWORK…]",
    help="Networks in which nodes may have direct addresses despite the default (loopback, link-local, …).",
)
@click.option(
    "--drain-seconds",
    type=click.IntRange(min=0, max=86_400),
    default=30,
    show_default=True,
    help="How long running requests may continue after SIGTERM or Ctrl-C; a second signal ends them at once.",
)
@click.option(
    "--log-level",
    type=click.Choice(["trace", "debug", "info", "warning", "error", "critical"]),
    default="info",
    show_default=True,
    help="Log level of Envoy, the control plane and the translator, whose files are below DATA_DIR/log.",
)
@click.option(
    "--usage-retention",
    type=SecondsFlag(),
    metavar="DURATION",
    help="How long records of single requests are kept; 0s: for ever.  [default: 30d]",
)
@click.option(
    "--rollup-retention",
    type=SecondsFlag(),
    metavar="DURATION",
    help="How long sums of usage are kept, at least as long as records; 0s: for ever.  [default: 400d]",
)
@click.option(
    "--session-idle",
    type=SecondsFlag(),
    metavar="DURATION",
    help="How long a person's session lasts without a call, 5m to 366d.  [default: 12h]",
)
@click.option(
    "--session-lifetime",
    type=SecondsFlag(),
    metavar="DURATION",
    help="How long a person's session lasts in all, 5m to 366d.  [default: 7d]",
)
def up(
    *,
    data_dir: Path,
    config: Path | None,
    listen: str,
    admin_listen: str,
    control_listen: str,
    tunnel_listen: str,
    tunnel_url: str | None,
    usage_retention: int | None,
    rollup_retention: int | None,
    session_idle: int | None,
    session_lifetime: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    database_url: str | None,
    envoy_concurrency: int,
    envoy_memory: str | None,
    allow_direct: tuple[str, ...],
    drain_seconds: int,
    log_level: str,
) -> None:
    """Run the gateway on this machine until Ctrl-C.

    Starts Envoy, the control plane and the translator, and restarts any that crash. Prints one line that begins
    with `ready` once requests are served. The first API key and the admin token are in DATA_DIR/credentials.json,
    logs below DATA_DIR/log.

    Without a config file, the first start takes providers from the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY,
    GEMINI_API_KEY, …) and from a local Ollama or vLLM.
    """
    if config is None and _DEFAULT_CONFIG.is_file():
        config = _DEFAULT_CONFIG
    if config is not None:
        # Nothing needs to start before a mistake in the file is known.
        loader.load(config, child_environment.of_apply(os.environ))
    layout = Layout(data_dir.absolute())
    run(
        Settings(
            layout=layout,
            openai=address.parse(listen, flag="--listen"),
            admin=address.parse(admin_listen, flag="--admin-listen"),
            control=address.parse(control_listen, flag="--control-listen"),
            tunnel=address.parse(tunnel_listen, flag="--tunnel-listen"),
            # An address between Envoy and itself that nobody needs to know.
            tunnel_handshake=Address("127.0.0.1", 0),
            tls=_tls(tls_cert, tls_key, tls_client_ca),
            database_url=database_url or f"sqlite:///{layout.database}",
            config=config,
            envoy_binary=envoy.binary(),
            envoy_modules=envoy_module.directory(layout.data_dir),
            envoy_concurrency=envoy_concurrency,
            envoy_memory=memory.parse(envoy_memory),
            log_level=log_level,
            tunnel_url=_tunnel_url(tunnel_url),
            usage_retention=usage_retention,
            rollup_retention=rollup_retention,
            session_idle=session_idle,
            session_lifetime=session_lifetime,
            allow_direct=_networks(allow_direct),
            drain_seconds=drain_seconds,
        )
    )


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """Checks the TLS files. Raises UsageError for half of a pair."""
    if certificate is None or key is None:
        if certificate is not key:
            raise UsageError("--tls-cert and --tls-key: give both, or neither")
        if client_ca is not None:
            raise UsageError("--tls-client-ca: needs --tls-cert and --tls-key")
        return None
    return Tls(certificate.absolute(), key.absolute(), None if client_ca is None else client_ca.absolute())


def _tunnel_url(given: str | None) -> str | None:
    """Checks the URL of a listener. Raises UsageError."""
    if given and not TUNNEL_URL.fullmatch(given.rstrip("/")):
        raise UsageError(
            f"--tunnel-url {given}: expected https://HOST:PORT, for example https://gateway.example.org:8443"
        )
    return given.rstrip("/") if given else None


def _networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Checks a list of networks. Raises UsageError."""
    networks = [each.strip() for text in texts for each in text.split(",")]
    for each in networks:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            raise UsageError(
                f"--allow-direct {each}: {error}; expected networks, for example 127.0.0.0/8,fd00::/8"
            ) from error
    return tuple(networks)
