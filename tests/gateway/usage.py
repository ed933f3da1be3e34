"""A gateway's ledger, read like an operator reads it, once it is complete."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from tests.gateway.process import GatewayProcess
from tests.waiting import until_answered


async def ready(gateway: GatewayProcess) -> dict[str, Any]:
    """Returns the answer of `/readyz`; empty while the translator does not answer."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{gateway.admin_url}/readyz") as answer:
                return dict(await answer.json()) if answer.status == 200 else {}
        except (aiohttp.ClientError, ValueError):
            return {}


async def settled(gateway: GatewayProcess, within: float = 120.0) -> None:
    """Waits until nothing is reserved any more, and the control plane has every record."""

    async def nothing_pending() -> bool:
        ledger = (await ready(gateway)).get("ledger", {})
        return bool(ledger) and ledger["reservations"] == ledger["records_pending"] == 0

    await until_answered(nothing_pending, within)


async def exported(gateway: GatewayProcess, *options: str) -> list[dict[str, Any]]:
    """Returns every usage record of the last day, or those that the options of `usage export` choose."""
    verb = ("usage", "export", "--format", "json", "--since", "24h", *options)
    done = await asyncio.to_thread(gateway.run, *verb)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def metrics(gateway: GatewayProcess, path: str = "/metrics/translator") -> dict[str, float]:
    """Returns every sample of a scrape, by its name and labels as written."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}{path}") as answer:
        assert answer.status == 200
        lines = [line for line in (await answer.text()).splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
