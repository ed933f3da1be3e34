"""A machine behind a home router, in network namespaces of its own.

    gateway's network ── 198.18.x.y/30 ── router (masquerade) ── 198.18.x.(y+4)/30 ── machine

Addresses are of the block for tests of networks (RFC 2544), and each process has its own. What a killed run has
left behind goes when the next one begins.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

TOOLS = {"ip": "iproute2", "nft": "nftables"}
RULES = """
table ip nat {
  chain out { type nat hook postrouting priority srcnat; oifname "outside" masquerade; }
}
table ip filter {
  chain cut { }
  chain forward {
    type filter hook forward priority filter; policy drop;
    jump cut
    iifname "inside" oifname "outside" accept
    ct state established,related accept
  }
}
"""


NETWORK = ipaddress.ip_network("198.18.0.0/15")
#: Names end with the process id of the run that created them; Linux keeps ids below 2^22.
SPACES = re.compile(r"tl-(?:router|machine)-(\d+)")
LINKS = re.compile(r"\btl-out(\d+)")


class BehindNat:
    """Creates the networks on entering, and removes them on leaving. Needs root; the error says what to install or
    to be.

    `gateway_address` is the test's own on the router's network; `machine_address` is unreachable from outside.
    """

    def __init__(self) -> None:
        mark = os.getpid()
        self._router, self._machine, self._here = f"tl-router-{mark}", f"tl-machine-{mark}", f"tl-out{mark}"
        base = NETWORK[mark * 8 % NETWORK.num_addresses]
        self.gateway_address, self.router_address = str(base + 1), str(base + 2)
        self._router_inside, self.machine_address = str(base + 5), str(base + 6)

    def __enter__(self) -> Self:
        for tool, package in TOOLS.items():
            assert shutil.which(tool), (
                f"{tool} is missing: apt-get install {package} (or scripts/install_test_tools.sh)"
            )
        assert os.geteuid() == 0, "network namespaces need root: run the tests as root, or with sudo"
        with undisturbed():
            _remove_leftovers()
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def machine(self) -> tuple[str, ...]:
        """A launcher that runs a command on the machine."""
        return "ip", "netns", "exec", self._machine

    @property
    def router(self) -> tuple[str, ...]:
        """A launcher that runs a command on the router."""
        return "ip", "netns", "exec", self._router

    def cut(self) -> None:
        """Makes the router drop everything without any notice."""
        _run(*self.router, "nft", "add", "rule", "ip", "filter", "cut", "drop")

    def restore(self) -> None:
        _run(*self.router, "nft", "flush", "chain", "ip", "filter", "cut")

    def forget(self) -> None:
        """Makes the router forget its connections, as Linux does when a link goes down."""
        for state in ("down", "up"):
            _run("ip", "-n", self._router, "link", "set", "outside", state)

    def add_route(self) -> None:
        """Adds a route from the gateway's network to the machine's own address, which nobody outside has."""
        _run("ip", "route", "add", f"{self.machine_address}/32", "via", self.router_address, "dev", self._here)

    def _make(self) -> None:
        for each in (self._router, self._machine):
            _run("ip", "netns", "add", each)
            _run("ip", "-n", each, "link", "set", "lo", "up")
        _run("ip", "link", "add", self._here, "type", "veth", "peer", "name", "outside", "netns", self._router)
        _run("ip", "addr", "add", f"{self.gateway_address}/30", "dev", self._here)
        _run("ip", "link", "set", self._here, "up")
        inside = ("type", "veth", "peer", "name", "inside", "netns", self._router)
        _run("ip", "-n", self._machine, "link", "add", "eth", *inside)
        for space, device, address in (
            (self._router, "outside", self.router_address),
            (self._router, "inside", self._router_inside),
            (self._machine, "eth", self.machine_address),
        ):
            _run("ip", "-n", space, "addr", "add", f"{address}/30", "dev", device)
            _run("ip", "-n", space, "link", "set", device, "up")
        _run("ip", "-n", self._machine, "route", "add", "default", "via", self._router_inside)
        _run(*self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run(*self.router, "nft", "-f", "-", given=RULES)

    def _remove(self) -> None:
        _delete((self._machine, self._router), (self._here,))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keeps the other test processes of this machine from removing leftovers meanwhile."""
    with Path(tempfile.gettempdir(), "trunkline-tests-networks.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_leftovers() -> None:
    """Removes what processes that no longer exist have left behind."""

    def gone(pattern: re.Pattern[str], listed: str) -> list[str]:
        return [match[0] for match in pattern.finditer(listed) if not Path(f"/proc/{match[1]}").exists()]

    spaces = subprocess.run(("ip", "netns", "list"), capture_output=True, text=True, check=True, timeout=60)
    links = subprocess.run(("ip", "-o", "link"), capture_output=True, text=True, check=True, timeout=60)
    _delete(gone(SPACES, spaces.stdout), gone(LINKS, links.stdout))


def _delete(spaces: Iterable[str], links: Iterable[str]) -> None:
    """Deletes namespaces and links. A link disappears with either of its ends, and its routes with it."""
    for space in spaces:
        for pid in subprocess.run(
            ("ip", "netns", "pids", space), capture_output=True, text=True, check=False, timeout=60
        ).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(("ip", "netns", "del", space), capture_output=True, check=False, timeout=60)
    for link in links:
        subprocess.run(("ip", "link", "del", link), capture_output=True, check=False, timeout=60)


def _run(*command: str, given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
