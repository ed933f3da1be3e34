"""`python -m bench.limits`: measures what limits add to the translator's own work for a request, on one core.

It uses 10,000 keys in 1,000 organisations, and five limits apply to each request. Each request is authorised as
Envoy's check, and settled like its line in the log. The rate is the offered one: requests arrive on schedule, and
delays caused by earlier requests count. Prints a table and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from translator.authorise import Authoriser
from translator.ledger.journal import Journal as JournalFile
from translator.ledger.segments import START
from translator.ledger.state import encode_part
from translator.limits import Limiter, Reservation
from translator.message import Request
from translator.metering import Journal, Meter
from translator.policy.store import PolicyStore, type_url

RESULTS = Path(__file__).parent / "results" / "limits.json"
KEYS, ORGANISATIONS = 10_000, 1_000
MODEL = "gpt-4.1"
TARGET = b"/v1/chat/completions"
#: Each request is settled after this many others.
IN_FLIGHT = 500
_MUCH = 10**12

Messages = Sequence[policy.Organisation | policy.Key | policy.Route]


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds of work per request, and at the offered rate from a request's due time to its answer."""

    limits: int
    journal: bool
    work_mean: float
    work_p50: float
    work_p99: float
    answer_p50: float
    answer_p99: float
    answer_max: float
    pause_ms: float


class Disk:
    """The real journal."""

    def __init__(self, directory: Path) -> None:
        self._file = JournalFile(directory, START, structlog.get_logger())

    def reserved(self, reservation: Reservation) -> None:
        self._file.append(["r", *reservation.fields])

    def ended(self, request_id: str) -> None:
        self._file.append(["e", request_id])


def value_of(number: int) -> str:
    return f"sk-tl-{number:010d}-0123456789abcdef"


def limit(
    metric: policy.Metric.ValueType,
    per: int = 0,
    calendar: policy.Calendar.ValueType = policy.CALENDAR_UNSPECIFIED,
    amount: int = _MUCH,
) -> policy.Limit:
    return policy.Limit(metric=metric, per_seconds=per, calendar=calendar, amount=amount)


def store(limits: int) -> PolicyStore:
    """Runs with `limits` (0 or 5) that apply to each request."""
    of_key, of_organisation = [], []
    if limits:
        of_key = [
            limit(policy.METRIC_REQUESTS, 60),
            limit(policy.METRIC_TOKENS, 60),
            limit(policy.METRIC_COST_USD, calendar=policy.CALENDAR_MONTH),
        ]
        of_organisation = [limit(policy.METRIC_COST_USD, 86_400), limit(policy.METRIC_CONCURRENCY)]
    filled = PolicyStore()
    organisations = [
        policy.Organisation(id=f"org_{number}", name=f"o{number}", limits=of_organisation)
        for number in range(ORGANISATIONS)
    ]
    keys = [
        policy.Key(
            id=f"key_{number}",
            organisation_id=f"org_{number % ORGANISATIONS}",
            name=f"k{number}",
            hash=hashlib.sha256(value_of(number).encode()).digest(),
            models=["*"],
            limits=of_key,
        )
        for number in range(KEYS)
    ]
    price = policy.Price(input=2_000_000, output=8_000_000, version=1)
    targets = [policy.Target(id="openai/gpt-4.1", prices=[price]), policy.Target(id="other/x", prices=[price])]
    batches: tuple[Messages, ...] = (
        organisations,
        keys,
        [policy.Route(id="rt_1", model=MODEL, targets=targets)],
    )
    for batch in batches:
        url = type_url(type(batch[0]))
        response = discovery.DeltaDiscoveryResponse(type_url=url)
        for message in batch:
            resource = response.resources.add(name=message.id, version="1")
            resource.resource.type_url = url
            resource.resource.value = message.SerializeToString()
        filled.apply(response)
    return filled


def body() -> bytes:
    """Returns a plain prompt of 1 KB."""
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "word " * 190}]}).encode()


def requests(count: int) -> list[Request]:
    chosen = random.Random(1)
    content = body()
    return [
        Request(
            "POST",
            TARGET,
            {
                b"authorization": b"Bearer " + value_of(chosen.randrange(KEYS)).encode(),
                b"x-request-id": f"{number:032x}".encode(),
            },
            content,
        )
        for number in range(count)
    ]


def measure(limits: int, journal: Journal | None, rate: int, seconds: int) -> Row:
    filled = store(limits)
    limiter = Limiter(filled.limits_by_id)
    authoriser = Authoriser(filled, Meter(limiter, journal))
    warm, *rounds = (requests(2 * KEYS), requests(rate * seconds))
    for number, request in enumerate(warm):
        request.headers[b"x-request-id"] = b"w%d" % number
        authoriser.decide(request)
        limiter.settle(f"w{number}", 300, 2_000)
    gc.collect()
    gc.freeze()
    work, answer = [], []
    (timed,) = rounds
    start = time.perf_counter()
    for number, request in enumerate(timed):
        due = start + number / rate
        while (now := time.perf_counter()) < due:
            time.sleep(due - now)
        begun = time.perf_counter()
        authoriser.decide(request)
        done = time.perf_counter()
        work.append((done - begun) * 1e6)
        answer.append((done - due) * 1e6)
        if number >= IN_FLIGHT:
            limiter.settle(f"{number - IN_FLIGHT:032x}", 300, 2_000)
    pause_ms = longest_pause(limiter)
    gc.unfreeze()
    return Row(
        limits,
        journal is not None,
        statistics.fmean(work),
        at(work, 0.5),
        at(work, 0.99),
        at(answer, 0.5),
        at(answer, 0.99),
        at(answer, 1.0),
        pause_ms,
    )


def longest_pause(limiter: Limiter) -> float:
    """Returns the milliseconds for which a snapshot delays requests at a time."""
    longest, begun = 0.0, time.perf_counter()
    with limiter.snapshot() as parts:
        for part in parts:
            encode_part(part)
            longest = max(longest, time.perf_counter() - begun)
            begun = time.perf_counter()
    return longest * 1e3


def at(values: Sequence[float], part: float) -> float:
    """Returns the smallest value that a `part` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="requests/s offered")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        disk = Disk(Path(directory))
        rows = [
            measure(limits, journal, chosen.rate, chosen.seconds) for limits in (0, 5) for journal in (None, disk)
        ]
    print(f"{KEYS} keys, {chosen.rate} requests/s; µs per request (answer: from when it was due)")
    print("limits journal  work mean     p50     p99  answer p50     p99     max    pause ms")
    for row in rows:
        print(
            f"{row.limits:6} {'yes' if row.journal else 'no':>7} {row.work_mean:10.1f} {row.work_p50:7.1f} "
            f"{row.work_p99:7.1f} {row.answer_p50:11.1f} {row.answer_p99:7.1f} {row.answer_max:7.1f} "
            f"{row.pause_ms:12.2f}"
        )
    chosen.output.parent.mkdir(exist_ok=True)
    chosen.output.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
