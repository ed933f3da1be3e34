"""A machine behind a router of the kind that homes have, in network namespaces of its own.

    gateway's network ── 198.18.77.0/30 ── router (masquerade) ── 198.18.78.0/30 ── machine

Addresses are of the block for tests of networks (RFC 2544).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

GATEWAY, ROUTER_OUTSIDE = "198.18.77.1", "198.18.77.2"
ROUTER_INSIDE, MACHINE = "198.18.78.1", "198.18.78.2"
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


class BehindNat:
    """Entering makes it, leaving takes it away. Needs root; fails with what to install or to be."""

    def __init__(self) -> None:
        mark = os.getpid() % 100_000
        self._router, self._machine, self._here = f"tl-router-{mark}", f"tl-machine-{mark}", f"tl-out{mark}"

    def __enter__(self) -> Self:
        for tool, package in TOOLS.items():
            assert shutil.which(tool), (
                f"{tool} is missing: apt-get install {package} (or scripts/install_test_tools.sh)"
            )
        assert os.geteuid() == 0, "network namespaces need root: run the tests as root, or with sudo"
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
        """Launches a command there."""
        return "ip", "netns", "exec", self._machine

    @property
    def router(self) -> tuple[str, ...]:
        """Launches a command on the router."""
        return "ip", "netns", "exec", self._router

    def cut(self) -> None:
        """Whatever passes the router is lost, and nobody is told."""
        _run(*self.router, "nft", "add", "rule", "ip", "filter", "cut", "drop")

    def restore(self) -> None:
        _run(*self.router, "nft", "flush", "chain", "ip", "filter", "cut")

    def forget(self) -> None:
        """The router loses whose connections it carries, as Linux does where a link goes down."""
        for state in ("down", "up"):
            _run("ip", "-n", self._router, "link", "set", "outside", state)

    def add_route(self) -> None:
        """From the gateway's network to the machine's own address, as nobody outside has one."""
        _run("ip", "route", "add", f"{MACHINE}/32", "via", ROUTER_OUTSIDE, "dev", self._here)

    def _make(self) -> None:
        for each in (self._router, self._machine):
            _run("ip", "netns", "add", each)
            _run("ip", "-n", each, "link", "set", "lo", "up")
        _run("ip", "link", "add", self._here, "type", "veth", "peer", "name", "outside", "netns", self._router)
        _run("ip", "addr", "add", f"{GATEWAY}/30", "dev", self._here)
        _run("ip", "link", "set", self._here, "up")
        inside = ("type", "veth", "peer", "name", "inside", "netns", self._router)
        _run("ip", "-n", self._machine, "link", "add", "eth", *inside)
        for space, device, address in (
            (self._router, "outside", ROUTER_OUTSIDE),
            (self._router, "inside", ROUTER_INSIDE),
            (self._machine, "eth", MACHINE),
        ):
            _run("ip", "-n", space, "addr", "add", f"{address}/30", "dev", device)
            _run("ip", "-n", space, "link", "set", device, "up")
        _run("ip", "-n", self._machine, "route", "add", "default", "via", ROUTER_INSIDE)
        _run(*self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run(*self.router, "nft", "-f", "-", given=RULES)

    def _remove(self) -> None:
        """A link goes with either of its ends."""
        for each in (self._machine, self._router):
            subprocess.run(("ip", "netns", "del", each), capture_output=True, check=False, timeout=20)
        subprocess.run(("ip", "link", "del", self._here), capture_output=True, check=False, timeout=20)


def _run(*command: str, given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
