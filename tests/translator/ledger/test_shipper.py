"""The shipper between records; `test_ledger.py` and `test_outage.py` have it ship them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc.aio
import structlog
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from tests.waiting import timers
from translator.ledger.outbox import Outbox
from translator.ledger.segments import START
from translator.ledger.shipper import Shipper


async def test_it_sets_no_timer_until_there_is_a_record() -> None:
    outbox = Outbox(START)
    shipper = Shipper(outbox, cast("Any", None), "edge", "", structlog.get_logger())
    async with grpc.aio.insecure_channel("unix:none") as channel:
        shipping = asyncio.create_task(shipper.run(channel))
        assert await timers() == 0
        outbox.expire(ledger.UsageRecord(id="a"))
        assert await timers() == 1
        shipping.cancel()
        await asyncio.wait({shipping})
        assert shipping.cancelled()
