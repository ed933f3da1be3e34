"""`trunkline up`: runs one machine's gateway from start to end."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace

from trunkline import address, child_environment, credentials, envoy, handover, lock, migration
from trunkline.address import Address
from trunkline.credentials import Credentials
from trunkline.errors import StartError, UsageError
from trunkline.handover import Handover
from trunkline.layout import Layout
from trunkline.services import Settings, Tls, admin_verb, services
from trunkline.succession import succeed_envoy
from trunkline.supervisor.draining import drain
from trunkline.supervisor.envoy_admin import EnvoyAdmin
from trunkline.supervisor.lifeline import for_this_system
from trunkline.supervisor.process import Nursery
from trunkline.supervisor.readiness import wait_until_ready
from trunkline.supervisor.services import Services
from trunkline.supervisor.spawn import ChildCommand
from trunkline.text import visible

_START_SECONDS = 120.0
_BACKLOG = 4096
_MOST_FILES = 1_048_576


Table = Callable[[Settings, socket.socket, Mapping[str, str]], tuple[ChildCommand, ...]]


def run(settings: Settings, table: Table = services) -> None:
    """Runs the gateway until SIGINT, SIGTERM or SIGHUP; `table` defines its processes.

    Raises:
        TrunklineError: it did not start; nothing is left running.
    """
    layout = settings.layout
    layout.prepare()
    before = Handover.inherited(os.environ)
    with lock.exclusive(layout.lock, before.lock if before else None) as held, ExitStack() as ports:
        if before is None:
            layout.clear_run()
            if settings.config is not None:
                layout.starting.touch()
            settings = _with_free_ports(settings, ports)
        else:
            settings = _at_addresses(settings, before.addresses)
        files = _raise_file_limit()
        with _listen(layout) if before is None else socket.socket(fileno=before.translator) as translator:
            bootstrap = envoy.bootstrap(layout, settings.envoy_memory, files)
            layout.bootstrap.write_text(bootstrap)
            commands = table(settings, translator, os.environ)
            left = Handover(
                pid=os.getpid(),
                lock=held,
                translator=translator.fileno(),
                children={},
                envoy=handover.fingerprint(next(each for each in commands if each.name == "envoy"), bootstrap),
                addresses=_addresses(settings),
            )
            asyncio.run(_Gateway(settings, commands, left, before).run())


class _Gateway:
    """`left` is the state for a program that replaces this one; `before` is the state left to this one, if any."""

    def __init__(
        self, settings: Settings, commands: tuple[ChildCommand, ...], left: Handover, before: Handover | None
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._left = left
        self._before = before
        self._restart = asyncio.Event()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        known = self._credentials()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self._restart.set)
        with Nursery(for_this_system()) as nursery:
            _warn_of_plain_text(self._settings)
            running = Services(self._commands, nursery, notice)
            running.start(self._before.children if self._before else None)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, handover.SIGNALS)
            stop = asyncio.create_task(self._stop.wait())
            start = asyncio.create_task(self._live(known, nursery, running))
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
        """Lets running requests finish. Processes that crash in the meantime are still restarted."""
        layout = self._settings.layout
        layout.draining.touch()  # from now on /readyz says so
        with suppress(OSError):
            async with EnvoyAdmin(layout.envoy_admin_socket) as admin:
                await drain(admin, self._settings.drain_seconds, self._hurry, notice)

    async def _live(self, known: Credentials, nursery: Nursery, running: Services) -> None:
        """Serves until it is cancelled or this program is replaced. Raises StartError."""
        if self._before is None:
            await self._start(known, nursery, running)
        else:
            await self._take_over(self._before, known, nursery, running)
        while True:
            await self._restart.wait()
            self._restart.clear()
            await self._hand_over(nursery)

    async def _hand_over(self, nursery: Nursery) -> None:
        """Replaces this process by the installed program, if that program can start."""
        notice("SIGUSR2: restarting in place")
        check = handover.check(os.environ, self._settings.layout.log("restart"))
        if await nursery.start(check).ended != 0:
            notice(f"the installed version does not start, so this one keeps running: see {check.log}")
            return
        replace(self._left, children=nursery.children).become()

    async def _take_over(self, before: Handover, known: Credentials, nursery: Nursery, running: Services) -> None:
        """Replaces the processes that the previous program has left running. Failures are reported, and serving
        continues.
        """
        running.serving()
        await asyncio.gather(running.renew("xds_server"), running.renew("translator"))
        try:
            await self._until_ready(known, nursery)
        except StartError as error:
            notice(str(error))
        if before.envoy != self._left.envoy:
            settings = self._settings
            path = settings.layout.envoy_admin_socket
            await succeed_envoy(running, path, settings.drain_seconds, self._hurry, notice)
        self._say_ready(known)

    async def _start(self, known: Credentials, nursery: Nursery, running: Services) -> None:
        """Waits from the start of the children until `ready`. Raises StartError."""
        failed = asyncio.create_task(running.failed())
        ready = asyncio.create_task(self._until_ready(known, nursery))
        try:
            done: set[asyncio.Task[None]] = set()
            while not done:
                done, _ = await asyncio.wait(
                    {failed, ready}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                # A large database takes as long as it takes.
                if not done and migration.read(self._settings.layout.migration) is None:
                    break
            if not done:
                logs = self._settings.layout.log("envoy").parent
                raise StartError(f"not ready after {_START_SECONDS:g} s: the reason should be in {logs}/*.log")
            for task in done:
                task.result()
            running.serving()
            self._say_ready(known)
        finally:
            for task in (failed, ready):
                task.cancel()
            await asyncio.gather(failed, ready, return_exceptions=True)

    async def _until_ready(self, known: Credentials, nursery: Nursery) -> None:
        shown = asyncio.create_task(migration.show(self._settings.layout.migration, notice))
        try:
            await self._until_served(known, nursery)
        finally:
            shown.cancel()

    async def _until_served(self, known: Credentials, nursery: Nursery) -> None:
        settings = self._settings
        wait = ("--wait", f"{_START_SECONDS:g}s")
        if settings.config is not None:
            notice(f"applying {settings.config}")
            verb = ("apply", "--file", str(settings.config), *wait)
            environment = child_environment.of_apply(os.environ)
            status = await nursery.start(admin_verb(settings, known.admin_token, environment, *verb)).ended
            settings.layout.starting.unlink(missing_ok=True)
            if status == 2:
                notice(f"{settings.config} was applied only in part (see above); the stored state is served")
            elif status != 0:
                raise StartError(f"{settings.config} could not be applied: correct it, or start without it")
        elif not known.api_key:
            # Runs in parallel with the start, at lower priority: its result is not needed to be ready.
            discover = ("providers", "discover", *wait)
            environment = child_environment.of_discovery(os.environ)
            nursery.start(admin_verb(settings, known.admin_token, environment, *discover, nice=10))
        tls = settings.tls is not None
        await wait_until_ready(settings.admin.local, settings.openai.local, notice, tls=tls)

    def _credentials(self) -> Credentials:
        """Ensures that there is an admin token, stored where the control plane and the commands read it."""
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
        layout.ready.write_text(f"{time.time_ns()}\n")
        print(
            f"ready base_url={known.base_url} console={known.admin_url}/ credentials={layout.credentials}",
            flush=True,
        )
        if example := ready_example(known, layout, self._settings.tls):
            notice(f"try it: {example}")
        if layout.setup_link.exists():
            link = layout.setup_link.read_text().strip()
            layout.setup_link.unlink()
            notice(f"set up the console, within a day and once: {link}")
        notice("Ctrl-C stops the gateway")

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._hurry.set()
            return
        notice(f"{number.name}: stopping (again: at once)")
        self._stop.set()


def ready_example(known: Credentials, layout: Layout, tls: Tls | None) -> str:
    """Returns a shell command that lists the models; empty if it does not fit on a line."""
    if not known.api_key or (tls is not None and tls.client_ca is not None):
        return ""
    # The certificate is for the clients' name of the gateway, not for this machine's loopback address.
    flags = "-sS" + ("k" if tls is not None else "") + ("g" if "[" in known.base_url else "")
    read = f"""sed -n 's/.*"api_key": "\\(.*\\)".*/\\1/p' {shlex.quote(str(layout.credentials))}"""
    return f'curl {flags} {known.base_url}/models -H "Authorization: Bearer $({read})"'


def _with_free_ports(settings: Settings, kept: ExitStack) -> Settings:
    """Claims all ports together, so that no two zeros become the same port. What was 0 stays claimed until `kept`
    is closed, so that no other program gets the port while nothing listens there: before the children start, or
    between a child that crashed and the next one.
    """
    with ExitStack() as checked:

        def claim(wanted: Address, flag: str) -> Address:
            # Other systems than Linux would not let the children listen.
            until = checked if wanted.port or sys.platform != "linux" else kept
            return until.enter_context(address.claimed(wanted, flag=flag))

        return replace(
            settings,
            openai=claim(settings.openai, "--listen"),
            admin=claim(settings.admin, "--admin-listen"),
            control=claim(settings.control, "--control-listen"),
            tunnel=claim(settings.tunnel, "--tunnel-listen"),
            tunnel_handshake=claim(settings.tunnel_handshake, "--tunnel-listen"),
        )


def _addresses(settings: Settings) -> dict[str, tuple[str, int]]:
    """Returns the addresses of the listeners by field of Settings."""
    names = ("openai", "admin", "control", "tunnel", "tunnel_handshake")
    found: dict[str, Address] = {name: getattr(settings, name) for name in names}
    return {name: (each.host, each.port) for name, each in found.items()}


def _at_addresses(settings: Settings, addresses: Mapping[str, tuple[str, int]]) -> Settings:
    """Restores what `_addresses` returned in an earlier program, instead of the requested addresses."""
    known = {name: Address(*each) for name, each in addresses.items()}
    return replace(
        settings,
        openai=known["openai"],
        admin=known["admin"],
        control=known["control"],
        tunnel=known["tunnel"],
        tunnel_handshake=known["tunnel_handshake"],
    )


def _warn_of_plain_text(settings: Settings) -> None:
    """Warns if keys and prompts would cross a network in plain text."""
    public = [each for each in (settings.openai, settings.admin) if not each.is_loopback]
    if public and settings.tls is None:
        where = " and ".join(map(str, public))
        notice(f"warning: {where} can be reached from outside without TLS: add --tls-cert and --tls-key")


def notice(text: str) -> None:
    """Prints a line for the person at the terminal. A closed terminal is no reason to stop serving."""
    with suppress(OSError):
        print(f"trunkline: {visible(text)}", file=sys.stderr, flush=True)


def _listen(layout: Layout) -> socket.socket:
    """The translator's socket, held by the supervisor: while a translator restarts, connections queue in it."""
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
