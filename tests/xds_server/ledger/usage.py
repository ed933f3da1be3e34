"""Usage records for tests."""

from __future__ import annotations

import itertools
from typing import Any

from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from xds_server.usage import records

#: 2026-11-02T10:00:00Z, a Monday.
MONDAY_10 = 1_793_613_600
HOUR = 3_600

_numbers = itertools.count()


def usage(at: float = MONDAY_10, **fields: Any) -> pb.UsageRecord:
    """Returns the record of a plain request that begins at `at` (Unix seconds), with an id of its own: ids sort in
    the order in which they were made. Its micro-USD equal its nano-USD.
    """
    made = pb.UsageRecord(
        **{
            "id": f"request-{next(_numbers):09}",
            "format": 1,
            "started_at_us": round(at * 1_000_000),
            "organisation_id": "org_a",
            "key_id": "key1",
            "route_id": "rt_a",
            "model": "gpt-4.1",
            "target_id": "openai/gpt-4.1",
            "provider": "openai",
            "attempts": 1,
            "status": 200,
            "request_bytes": 1_000,
            "response_bytes": 2_000,
            "first_byte_us": 400_000,
            "duration_us": 2_400_000,
            "prompt_tokens": 100,
            "cached_tokens": 10,
            "completion_tokens": 50,
            "reasoning_tokens": 5,
            "cost_nano_usd": 600_000,
            "price_version": 3,
            **fields,
        }
    )
    made.cost_micro_usd = records.micro_usd(made.cost_nano_usd)
    made.earned_micro_usd = records.micro_usd(made.earned_nano_usd)
    return made


def batch(*records: pb.UsageRecord) -> pb.AppendRequest:
    return pb.AppendRequest(source="translator-test", records=records)


def packed(*records: pb.UsageRecord) -> pb.PackedRecords:
    """Packs records as a translator does."""
    made, numbers = pb.PackedRecords(), dict[bytes, int]()
    columns = [each.name for each in made.DESCRIPTOR.fields if each.name not in {"templates", "template"}]
    for record in records:
        template = pb.UsageRecord()
        template.CopyFrom(record)
        for name in columns:
            template.ClearField(name)  # type: ignore[arg-type]
        encoded = template.SerializeToString(deterministic=True)
        made.template.append(numbers.setdefault(encoded, len(numbers)))
    made.templates.extend(numbers)
    for name in columns:
        column = [getattr(record, name) for record in records]
        if any(column):
            getattr(made, name).extend(column)
    return made


def packed_batch(*records: pb.UsageRecord) -> pb.AppendRequest:
    return pb.AppendRequest(source="translator-test", packed=packed(*records), keeps_refused=True)
