"""`trunkline up`: one machine's gateway from its start to its end."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from trunkline import address, child_environment, credentials, envoy, lock
from trunkline.credentials import Credentials
from trunkline.errors import StartError, UsageError
from trunkline.layout import Layout
from trunkline.services import Settings, admin_verb, services
from trunkline.supervisor.draining import drain
from trunkline.supervisor.lifeline import for_this_system
from trunkline.supervisor.process import Nursery
from trunkline.supervisor.readiness import wait_until_ready
from trunkline.supervisor.services import Services
from trunkline.supervisor.spawn import Command
from trunkline.text import visible

_START_SECONDS = 60.0
_BACKLOG = 4096
_MOST_FILES = 1_048_576


Table = Callable[[Settings, socket.socket, Mapping[str, str]], tuple[Command, ...]]


def run(settings: Settings, table: Table = services) -> None:
    """Runs the gateway until SIGINT, SIGTERM or SIGHUP; `table` says what it consists of.

    Raises:
        TrunklineError: it did not start; nothing is left running.
    """
    layout = settings.layout
    layout.prepare()
    with lock.exclusive(layout.lock):
        layout.clear_run()
        settings = _with_free_ports(settings)
        files = _raise_file_limit()
        with _listen(layout) as translator:
            layout.bootstrap.write_text(envoy.bootstrap(layout, settings.envoy_memory, files))
            commands = table(settings, translator, os.environ)
            asyncio.run(_Gateway(settings, commands).run())


class _Gateway:
    def __init__(self, settings: Settings, commands: tuple[Command, ...]) -> None:
        self._settings = settings
        self._commands = commands
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        known = self._credentials()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        with Nursery(for_this_system()) as nursery:
            _warn_of_plain_text(self._settings)
            running = Services(self._commands, nursery, notice)
            running.start()
            stop = asyncio.create_task(self._stop.wait())
            start = asyncio.create_task(self._start(known, nursery, running))
            try:
                await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
                if start.done():
                    start.result()
                else:
                    await self._drain()
            finally:
                start.cancel()
                await running.stop(self._hurry)
                notice("stopped")

    async def _drain(self) -> None:
        """Lets what runs finish. What crashes meanwhile is still restarted."""
        layout = self._settings.layout
        layout.draining.touch()  # from now on /readyz says so
        await drain(layout.envoy_admin_socket, self._settings.drain_seconds, self._hurry, notice)

    async def _start(self, known: Credentials, nursery: Nursery, running: Services) -> None:
        """From started children to `ready`. Raises StartError."""
        failed = asyncio.create_task(running.failed())
        ready = asyncio.create_task(self._until_ready(known, nursery))
        try:
            done, _ = await asyncio.wait(
                {failed, ready}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                logs = self._settings.layout.log("envoy").parent
                raise StartError(f"not ready after {_START_SECONDS:g} s: the reason should be in {logs}/*.log")
            for task in done:
                task.result()
            running.serving()
            self._say_ready(known)
            await failed
        finally:
            for task in (failed, ready):
                task.cancel()
            await asyncio.gather(failed, ready, return_exceptions=True)

    async def _until_ready(self, known: Credentials, nursery: Nursery) -> None:
        settings = self._settings
        wait = ("--wait", f"{_START_SECONDS:g}s")
        if settings.config is not None:
            notice(f"applying {settings.config}")
            verb = ("apply", "--file", str(settings.config), *wait)
            environment = child_environment.of_apply(os.environ)
            status = await nursery.start(admin_verb(settings, known.admin_token, environment, *verb)).ended
            if status == 2:
                notice(f"{settings.config} is in force in part (above); what is stored is served")
            elif status != 0:
                raise StartError(f"{settings.config} could not be applied: mend it, or start without it")
        elif not known.api_key:
            # Beside the start, and behind it where processors are scarce: what it finds is not needed to be ready.
            discover = ("providers", "discover", *wait)
            environment = child_environment.of_discovery(os.environ)
            nursery.start(admin_verb(settings, known.admin_token, environment, *discover, nice=10))
        tls = settings.tls is not None
        await wait_until_ready(settings.admin.local, settings.openai.local, notice, tls=tls)

    def _credentials(self) -> Credentials:
        """With an admin token, made once, and stored where the control plane and the verbs read it."""
        settings, layout = self._settings, self._settings.layout
        known = credentials.load(layout.credentials)
        known = replace(
            known,
            admin_token=known.admin_token or secrets.token_urlsafe(32),
            base_url=f"{settings.scheme}://{settings.openai.local}/v1",
            admin_url=f"{settings.scheme}://{settings.admin.local}",
            control=str(settings.control.local),
            tunnel=f"https://{settings.tunnel.local}",
        )
        credentials.store(layout.credentials, known)
        credentials.write_secret(layout.admin_token, known.admin_token)
        return known

    def _say_ready(self, known: Credentials) -> None:
        layout = self._settings.layout
        if layout.first_key.exists():
            known = replace(known, api_key=layout.first_key.read_text().strip())
            credentials.store(layout.credentials, known)
            layout.first_key.unlink()
        print(
            f"ready base_url={known.base_url} console={known.admin_url}/ credentials={layout.credentials}",
            flush=True,
        )
        notice("Ctrl-C stops the gateway")

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._hurry.set()
            return
        notice(f"{number.name}: stopping (again: at once)")
        self._stop.set()


def _with_free_ports(settings: Settings) -> Settings:
    """All claimed together, so that no two zeros become the same port."""
    with (
        address.claimed(settings.openai, flag="--listen") as openai,
        address.claimed(settings.admin, flag="--admin-listen") as admin,
        address.claimed(settings.control, flag="--control-listen") as control,
        address.claimed(settings.tunnel, flag="--tunnel-listen") as tunnel,
        address.claimed(settings.tunnel_handshake, flag="--tunnel-listen") as handshake,
    ):
        return replace(
            settings, openai=openai, admin=admin, control=control, tunnel=tunnel, tunnel_handshake=handshake
        )


def _warn_of_plain_text(settings: Settings) -> None:
    """Keys and prompts that cross a network in plain text are worth a line."""
    public = [each for each in (settings.openai, settings.admin) if not each.is_loopback]
    if public and settings.tls is None:
        where = " and ".join(map(str, public))
        notice(f"warning: {where} can be reached from outside without TLS: add --tls-cert and --tls-key")


def notice(text: str) -> None:
    """A line for the person at the terminal. A closed terminal is no reason to stop serving."""
    with suppress(OSError):
        print(f"trunkline: {visible(text)}", file=sys.stderr, flush=True)


def _listen(layout: Layout) -> socket.socket:
    """The translator's socket, ours for as long as we run: while a translator restarts, connections queue here."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(layout.translator_socket))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(f"cannot listen on {layout.translator_socket}: {error.strerror}") from error
    return listening


def _raise_file_limit() -> int:
    """Thousands of streams need thousands of descriptors; shells commonly start with a soft limit of 1,024.

    Returns how many files a process may open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS refuses more than kern.maxfilesperproc
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft
