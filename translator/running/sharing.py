"""The state of this gateway's credentials' quotas and pauses. The control plane shares it with other gateways, and
a file keeps it for the next Envoy and the next translator (docs/quota.md).

The file has a line that names the format, a line with the gateway's id, a line with the number of gateways and the
Unix time in milliseconds, and the lines that Envoy's module reported then (envoy/module/sharing.h).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from translator.replacing import replace
from translator.running import quotas

_FORMAT = "trunkline quotas 1"
_METRICS = {policy.METRIC_REQUESTS: "r", policy.METRIC_TOKENS: "t"}
#: Seconds between two reports of Envoy while it has quotas or pauses, and otherwise.
_INTERVAL, _IDLE_INTERVAL = 1.0, 5.0
#: The lines that a later Envoy takes over: pauses, shares, and what targets reported.
_KEPT = ("p ", "s ", "h ")


class Commander(Protocol):
    """Commands Envoy's module. `greeting` returns the lines that every connection gets first."""

    greeting: Callable[[], bytes] | None

    async def quotas(self) -> Sequence[bytes]:
        """Returns the lines of each Envoy about rests and quotas."""

    async def share(self, lines: bytes) -> Sequence[bytes]:
        """Passes lines with shares and pauses to each Envoy. Returns what `quotas` does, after that."""


class _Kept(NamedTuple):
    gateway: str
    gateways: int
    #: The time of Envoy's report, in Unix milliseconds.
    at: int
    process: str
    lines: str


class QuotaKeeper:
    """Stores Envoy's last report in `path`. `clock` gives Unix seconds; `draining` tells whether the gateway is
    about to end.
    """

    def __init__(
        self,
        path: Path,
        commander: Commander,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
        *,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._draining = draining
        self._commander = commander
        self._log = log
        self._clock = clock
        self._kept = _load(path) or _Kept(secrets.token_hex(8), 1, 0, "", "")
        self._stored: object = None
        self._storing = asyncio.Lock()
        commander.greeting = self.restoration

    @property
    def gateway(self) -> str:
        """The gateway's id, which is the same after a restart."""
        return self._kept.gateway

    def restoration(self) -> bytes:
        """Returns the lines for an Envoy that connects; the Envoy decides whether it needs them."""
        kept = self._kept
        lines = f"g {kept.gateways}\n"
        if kept.process:
            elapsed = max(0, round(self._clock() * 1000) - kept.at)
            lines += f"o {kept.process} {elapsed}\n{kept.lines}"
        return lines.encode("latin-1")

    async def report(self) -> pb.Standing:
        """Returns the rests and the remaining quotas."""
        return self._read(await self._commander.quotas())

    async def take(self, sharing: pb.Sharing) -> pb.Standing:
        """Applies and stores what other gateways share. Returns a report that includes it."""
        self._kept = self._kept._replace(gateways=sharing.gateways)
        found = self._read(await self._commander.share(as_lines(sharing)))
        # A share that was given away must not come back with a restart.
        await self._store()
        return found

    async def run(self) -> None:
        """Requests Envoy's reports regularly and stores them, until it is cancelled."""
        while True:
            await self.report()
            await self._store()
            await asyncio.sleep(_INTERVAL if self._kept.lines or self._kept.gateways > 1 else _IDLE_INTERVAL)

    def _read(self, reports: Sequence[bytes]) -> pb.Standing:
        for report in reports:
            lines = report.decode("latin-1").splitlines(keepends=True)
            process = next((line[2:].strip() for line in lines if line.startswith("o ")), "")
            if process:
                kept = "".join(line for line in lines if line.startswith(_KEPT))
                self._kept = self._kept._replace(at=round(self._clock() * 1000), process=process, lines=kept)
        standing = quotas.read(reports)
        standing.leaving, standing.gateway = self._draining(), self.gateway
        return standing

    async def _store(self) -> None:
        async with self._storing:
            kept, content = self._kept, _content(self._kept)
            if content == self._stored:
                return
            text = f"{_FORMAT}\n{kept.gateway}\n{kept.gateways} {kept.at} {kept.process}\n{kept.lines}"
            try:
                await asyncio.to_thread(replace, self._path, [text.encode("latin-1")])
            except OSError as error:
                self._log.error("quotas not written", path=str(self._path), reason=error.strerror)
            self._stored = content


def _load(path: Path) -> _Kept | None:
    """Returns the stored state; None if there is none, or if it is unreadable."""
    try:
        first, gateway, about, *lines = path.read_text("latin-1").splitlines(keepends=True)
        if first.strip() != _FORMAT or not gateway.strip():
            return None
        gateways, at, *process = about.split()
        return _Kept(gateway.strip(), int(gateways), int(at), "".join(process[:1]), "".join(lines))
    except (OSError, ValueError):
        return None


def as_lines(sharing: pb.Sharing) -> bytes:
    """Returns lines as in envoy/module/sharing.h."""
    lines = [f"g {sharing.gateways}\n"]
    for share in sharing.shares:
        quota = f"{share.account} {_METRICS[share.metric]} {share.per_seconds} {share.amount}"
        lines.append(f"a {quota} {share.share} {share.room_ms}\n")
    for each in sharing.pauses:
        caller = f"{each.organisation} {each.key} {each.user}"
        about = f"{each.cause} {each.reach} {each.breadth} {int(each.stated)} {caller} {each.pauses}"
        lines.append(f"p {each.host} 1 {about} {each.age_ms} {each.left_ms}\n")
    return "".join(lines).encode("latin-1")


def _content(kept: _Kept) -> object:
    """Returns the part whose changes are worth storing: everything except the age."""
    return (
        kept.gateway,
        kept.gateways,
        kept.process,
        tuple(_without_ages(line) for line in kept.lines.splitlines()),
    )


def _without_ages(line: str) -> object:
    kind, *words = line.split(" ")
    if kind == "s":
        # A later version may have written other words.
        return words[:5], sum(int(used) for part in words[6:] if (used := part.partition(":")[2]).isdecimal())
    return kind, words[:-2] if kind == "p" else words[:-1]
