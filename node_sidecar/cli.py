"""`trunkline-node`: the only reader of the command line and the environment."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from node_sidecar import address, join as joining, join_token, logs, status
from node_sidecar.control import ControlClient
from node_sidecar.errors import SettingsError, SidecarControlError, SidecarError
from node_sidecar.files import private_directory
from node_sidecar.identity import IdentityStore
from node_sidecar.leave import leave as leaving
from node_sidecar.options import given_preferences, preference_options
from node_sidecar.preferences import file
from node_sidecar.preferences.store import PreferenceStore
from node_sidecar.settings import Settings, default_state_dir
from node_sidecar.text import say


def _prepare_streams() -> None:
    """Makes streams print escapes for characters that the locale lacks, instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Group(click.Group):
    """Turns errors into one clear line and the exit code that errors.py assigns."""

    def main(self, *args: Any, **extra: Any) -> Any:
        _prepare_streams()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SidecarError as error:
            say(f"trunkline-node: {error}", lines=True, err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            say("interrupted", err=True)
            ctx.exit(130)


def _state_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path),
        envvar="TRUNKLINE_NODE_STATE_DIR",
        default=lambda: default_state_dir(os.environ),
        show_default="the system's directory for such data",
        help="The directory of the identity and node.yaml.",
    )(command)


def _log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    level = click.option(
        "--log-level",
        type=click.Choice(logs.LEVELS),
        default="info",
        show_default=True,
        help="Lowest level that is logged.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice(logs.FORMATS),
        default="console",
        show_default=True,
        help="Log format: for people, or one JSON object per line.",
    )
    return level(form(command))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trunkline")
def main() -> None:
    """Offers this machine's local models to a Trunkline gateway.

    The owner's preferences (prices, hours, capacity, callers) are in node.yaml in the state directory, which is
    read again when it changes.
    """


def _address(value: str) -> tuple[str, int]:
    """Parses `HOST:PORT` into a pair. Raises click.BadParameter."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT, like 127.0.0.1:9464")
    return host.strip("[]"), int(port)


@main.command("join")
@click.argument("url")
@click.option(
    "--token", envvar="TRUNKLINE_JOIN_TOKEN", required=True, help="The join token; better in TRUNKLINE_JOIN_TOKEN."
)
@click.option(
    "--name", default=joining.default_name, show_default="the machine's name", help="The name of the node."
)
@click.option("--replace", is_flag=True, help="Discard the existing identity.")
@click.option("--if-needed", is_flag=True, help="If this machine has already joined, only serve.")
@click.option("--no-run", is_flag=True, help="Only join; `trunkline-node run` serves.")
@click.option("--patience", type=float, default=300, show_default=True, help="Seconds to keep trying.")
@preference_options
@_state_option
@_log_options
def join(
    url: str,
    token: str,
    name: str,
    *,
    replace: bool,
    if_needed: bool,
    no_run: bool,
    patience: float,
    state_dir: Path,
    **given: Any,
) -> None:
    """Join the gateway at URL with a token, then serve.

    \b
    Example:
      trunkline-node join https://gw.example.org:8443 --token tlj_…
      trunkline-node join https://gw.example.org:8443 --token tlj_… --upstream http://127.0.0.1:8000 --no-run
    """
    log_level, log_format = given.pop("log_level"), given.pop("log_format")
    flags = given_preferences(**given)
    file.fields(flags, os.environ)
    store = IdentityStore(private_directory(state_dir))
    if replace or not (store.exists and if_needed):
        _join(url, token, name, store, state_dir, replace=replace, patience=patience)
    PreferenceStore(state_dir, os.environ, {}).keep_flags(flags)
    if not no_run:
        _run(Settings(state_dir, log_level, log_format, environment=os.environ))


def _join(
    url: str, token: str, name: str, store: IdentityStore, state_dir: Path, *, replace: bool, patience: float
) -> None:
    if store.exists and not replace:
        raise SettingsError(
            f"this machine has already joined ({state_dir}): `trunkline-node run` serves, --replace joins again"
        )
    gateway, parsed = address.gateway(url), join_token.parse(token)
    joined = asyncio.run(joining.join(gateway, parsed, name, lambda line: say(line, err=True), patience=patience))
    store.save(joined.identity)
    record = joined.identity.record
    say(f"joined {record.gateway} as {record.name} ({record.node_id})")
    if joined.pending:
        say(f"an operator has yet to approve it: trunkline nodes approve {record.name}")


@main.command("run")
@click.option(
    "--metrics-listen",
    type=_address,
    metavar="HOST:PORT",
    envvar="TRUNKLINE_NODE_METRICS_LISTEN",
    help="Serve /metrics for Prometheus here, without a password. Or in TRUNKLINE_NODE_METRICS_LISTEN.",
)
@preference_options
@_state_option
@_log_options
def run(
    state_dir: Path, log_level: str, log_format: str, metrics_listen: tuple[str, int] | None, **given: Any
) -> None:
    """Serve, until Ctrl-C or a drain.

    \b
    Example:
      trunkline-node run --concurrency 4 --price 'llama3:*=0.10/0.30'
    """
    options = file.fields(given_preferences(**given), os.environ)
    _run(Settings(state_dir, log_level, log_format, options, os.environ, metrics_listen=metrics_listen))


def _run(settings: Settings) -> None:
    # Loads the parts for serving only here: `status` answers at once.
    from node_sidecar import app, front  # noqa: PLC0415

    log = logs.configure(settings.log_level, settings.log_format)
    asyncio.run(app.run(settings, log, front.build))


@main.command("status")
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format.",
)
@click.option("--json", "in_json", is_flag=True, help="Same as --output json.")
@click.option("--wide", is_flag=True, help="Do not cut columns, even on a narrow terminal.")
@_state_option
def show_status(output: str, *, in_json: bool, wide: bool, state_dir: Path) -> None:
    """Show what the running sidecar serves, to whom, and any problems.

    \b
    Example:
      trunkline-node status --json
    """
    found = asyncio.run(ControlClient(state_dir).ask("status"))
    if in_json or output == "json":
        say(json.dumps(found, indent=2), lines=True)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() and not wide else None
    say(status.table(found, width), lines=True)


@main.command("drain")
@click.option("--no-wait", is_flag=True, help="Do not wait until all requests have finished.")
@_state_option
def drain(*, no_wait: bool, state_dir: Path) -> None:
    """Finish running requests, accept no new ones, then end the sidecar.

    \b
    Example:
      trunkline-node drain
    """
    asyncio.run(_drain(ControlClient(state_dir), wait=not no_wait))


async def _drain(client: ControlClient, *, wait: bool) -> None:
    found = await client.ask("drain")
    last_shown = -1
    while wait:
        if found["in_flight"] != last_shown:
            last_shown = found["in_flight"]
            say(f"{last_shown} running")
        await asyncio.sleep(0.2)
        try:
            found = await client.ask("status")
        except SidecarControlError:
            break
    say("drained" if wait else "draining")


@main.command("pause")
@_state_option
def pause(state_dir: Path) -> None:
    """Serve nobody until `resume`, even after a restart. Running requests continue.

    \b
    Example:
      trunkline-node pause
    """
    _command(state_dir, "pause", lambda store: store.pause(), "paused")


@main.command("resume")
@_state_option
def resume(state_dir: Path) -> None:
    """Serve again after `pause`.

    \b
    Example:
      trunkline-node resume
    """
    _command(state_dir, "resume", lambda store: store.resume(), "resumed")


def _command(state_dir: Path, name: str, without: Callable[[PreferenceStore], None], done: str) -> None:
    """Sends a command to the running sidecar, or applies it to the state directory for the next run."""
    try:
        found = asyncio.run(ControlClient(state_dir).ask(name))
    except SidecarControlError:
        IdentityStore(state_dir).load()
        without(PreferenceStore(state_dir, os.environ, {}))
        say(f"{done}; the sidecar is not running")
        return
    say(f"{done}; serves {found['serves']}" + (f" ({found['reason']})" if found["reason"] else ""))


@main.command("leave")
@click.option("--force", is_flag=True, help="Remove the identity here even if the gateway cannot be informed.")
@_state_option
def leave(*, force: bool, state_dir: Path) -> None:
    """Remove this node from the gateway for good, and delete its identity.

    \b
    Example:
      trunkline-node leave
    """
    say(asyncio.run(leaving(IdentityStore(state_dir), force=force)))
