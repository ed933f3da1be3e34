"""The console's usage view, timed as its one call of the control plane; without gRPC and HTTP."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as pb, console_pb2 as views

from tests.xds_server.admin.conftest import Clients
from tests.xds_server.console.test_service import CONTEXT
from xds_server.accounts.caller import MACHINE, calling
from xds_server.admin import AdminService
from xds_server.console.service import ConsoleService
from xds_server.ledger.reader import LedgerReader
from xds_server.resources.settings import EdgeSettings
from xds_server.store import AsyncStore, Store

DAY, HOUR = 86_400, 3_600
#: What a period is looked at by: (filter, dimensions). Once it is shown, a change of the dimensions reads only the
#: rows.
CHANGES: dict[str, tuple[dict[str, str], tuple[pb.Dimension.ValueType, ...]]] = {
    "first paint, by model": ({}, (pb.DIMENSION_MODEL,)),
    "first paint, by key and model": ({}, (pb.DIMENSION_KEY, pb.DIMENSION_MODEL)),
    "to key and model": ({}, (pb.DIMENSION_KEY, pb.DIMENSION_MODEL)),
    "to target": ({}, (pb.DIMENSION_TARGET,)),
    "of a model, by key": ({"model": "model-3"}, (pb.DIMENSION_KEY,)),
    "of an organisation, by target": ({"organisation": "org_1"}, (pb.DIMENSION_TARGET,)),
    "of a tag that is none": ({"tag": "none"}, (pb.DIMENSION_MODEL,)),
}


async def measure(store: Store, reader: LedgerReader, until: int) -> dict[str, Any]:
    """Returns the seconds of the first and the second time; `until` is the end of the usage in Unix seconds.

    The periods begin five hours into a day and end three hours before another, as the console's begin and end at
    any hour.
    """
    clients = Clients()
    console: Any = ConsoleService(
        AdminService(AsyncStore(store), clients, clients, reader),
        EdgeSettings(openai_listen=("0.0.0.0", 8080)),
        nodes=False,
    )
    timed: dict[str, Any] = {}
    end = until - 3 * HOUR
    with calling(MACHINE):
        for days in (365, 90, 30):
            for name, (fields, by) in CHANGES.items():
                since = until - days * DAY + 5 * HOUR
                wanted = pb.UsageFilter(since=since, until=end, **fields)
                rows_only = name.startswith("to ")
                request = views.GetUsageViewRequest(filter=wanted, by=by, rows_only=rows_only)

                async def rows(request: views.GetUsageViewRequest = request) -> Sequence[Any]:
                    return (await console.GetUsageView(request, CONTEXT)).rows  # type: ignore[no-any-return]

                timed[f"view of {days} days, {name}"] = await twice(rows)
    return timed


async def twice(case: Callable[[], Awaitable[Sequence[Any]]]) -> dict[str, float]:
    """Returns the seconds of the first and of the second run, those of this process's CPU in the second one, and
    the number of rows. PostgreSQL's own CPU is not included.
    """
    seconds, cpu = [], 0.0
    rows: Sequence[Any] = ()
    for _ in range(2):
        began, cpu_began = time.monotonic(), time.process_time()
        rows = await case()
        seconds.append(round(time.monotonic() - began, 3))
        cpu = round(time.process_time() - cpu_began, 3)
    return {"first": seconds[0], "second": seconds[1], "cpu": cpu, "rows": len(rows)}
