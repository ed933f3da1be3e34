"""`python -m bench.translator`: measures the parts of a request's cost in the translator, without HTTP.

It measures this process's CPU, with warm caches, in batches as on a busy gateway. The low quantile of many
repetitions counts, because noise of the machine is never negative. Prints a table and writes JSON to
bench/results/.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy

from bench.limits import TARGET, at, body, store, value_of
from translator import logs
from translator.authorise import Authoriser
from translator.checks.answers import Allowed
from translator.ledger import lines, records, rows
from translator.ledger.ledger import Ledger
from translator.ledger.prices import PriceBook
from translator.limits import Limiter
from translator.message import Request
from translator.metering import Meter
from translator.policy.store import PolicyStore
from translator.service import Service
from translator.settings import Settings

RESULTS = Path(__file__).parent / "results" / "translator.json"
QUANTILE = 0.1
#: Requests in one repetition, and how many of them come in one turn of the loop.
BATCH, TURN = 64, 8

T = TypeVar("T")


class Gateway:
    """The translator of a gateway in `directory`, without sockets: Envoy's checks and log lines are made here."""

    def __init__(self, directory: Path, limits: int) -> None:
        self.policy: PolicyStore = store(limits)
        self.prices = PriceBook()
        price = policy.Price(input=2_000_000, output=8_000_000, version=1)
        self.prices.put(policy.Route(id="rt_1", targets=[policy.Target(id="openai/gpt-4.1", prices=[price])]))
        self.limiter = Limiter(self.policy.limits_by_id)
        self.directory = directory / "ledger"
        self.directory.mkdir(parents=True)
        settings = Settings(
            control="unix:none",
            control_token="",
            state_dir=directory,
            ledger_dir=self.directory,
            id="bench",
            socket=None,
            log_level="warning",
            limits_interval=1.0,
            disk_low=2,
            disk_full=1,
        )
        log = logs.configure("warning")
        self.ledger = Ledger(settings, self.limiter, self.prices, log)
        self._numbers = count()
        self._log = (self.directory / "access.log").open("ab", buffering=0)

    def service(self, *, journal: bool) -> Service:
        meter = Meter(self.limiter, self.ledger if journal else None)
        return Service(self.policy, Authoriser(self.policy, meter), structlog.get_logger())

    def requests(self) -> list[Request]:
        """Returns a batch of Envoy's checks for plain chat requests of 1 KB."""
        content = body()
        made = []
        for number in (next(self._numbers) for _ in range(BATCH)):
            headers = {
                b"host": b"127.0.0.1:8080",
                b"content-type": b"application/json",
                b"authorization": b"Bearer " + value_of(number % 100).encode(),
                b"x-request-id": f"0d7f2a3c-1111-4222-8333-{number:012x}".encode(),
                b"x-envoy-internal": b"true",
                b"content-length": b"%d" % len(content),
            }
            made.append(Request("POST", TARGET, headers, content))
        return made

    def write(self, answers: Sequence[Allowed]) -> bytes:
        """Returns Envoy's log lines of answered requests."""
        noted = [self._line(answer.log_context) for answer in answers]
        written = b"".join(json.dumps(line).encode() + b"\n" for line in noted)
        self._log.write(written)
        return written

    @staticmethod
    def _line(context: str) -> dict[str, object]:
        return {
            "v": 2,
            "note": context,
            "target": "openai/gpt-4.1",
            "node": None,
            "failed": None,
            "upstream_id": None,
            "attempts": 1,
            "status": 200,
            "flags": None,
            "bytes_in": 1024,
            "bytes_out": 842,
            "first_byte_us": 1213,
            "duration_ms": 2,
            "usage": '{"usage":{"prompt_tokens":214,"completion_tokens":5,"total_tokens":219},"text":21}',
            "events": None,
        }


class Clock:
    """Measures the CPU of the parts, in microseconds per request of a batch."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def each(self, part: str, work: Callable[..., T], inputs: Iterable[tuple[Any, ...]]) -> list[T]:
        """Times `work` for each of `inputs`, and returns its results."""
        prepared = list(inputs)
        return self.whole(part, lambda: [work(*each) for each in prepared])

    def whole(self, part: str, work: Callable[[], T]) -> T:
        """Times `work` for the batch, and returns its result."""
        begun = time.process_time_ns()
        done = work()
        self.taken.setdefault(part, []).append((time.process_time_ns() - begun) / 1e3 / BATCH)
        return done


def answered(service: Service, ledger: Ledger, requests: Sequence[Request], turn: int) -> list[Allowed]:
    """Answers `turn` checks at a time, with one write of their reservations."""
    answers = []
    for begin in range(0, len(requests), turn):
        answers += [allowed(service, request) for request in requests[begin : begin + turn]]
        ledger.flush()
    return answers


def allowed(service: Service, request: Request) -> Allowed:
    answer = service.decide(request)
    assert isinstance(answer, Allowed)
    return answer


def measure(repetitions: int, limits: int, directory: Path) -> dict[str, float]:
    """Returns microseconds per request, by part."""
    gateway, clock = Gateway(directory, limits), Clock()
    ledger, prices = gateway.ledger, gateway.prices
    tail, outbox = ledger._tail, ledger._outbox
    plain, journalling = gateway.service(journal=False), gateway.service(journal=True)

    def follow() -> None:
        while tail.step():
            pass

    def acknowledge() -> None:
        outbox.acknowledge(map(rows.record_id, outbox.batch(BATCH)))

    gc.collect()
    gc.freeze()
    for _ in range(repetitions):
        requests = gateway.requests()
        clock.each("decide", plain.decide, zip(requests))
        for request in requests:
            gateway.limiter.settle(request.headers[b"x-request-id"].decode(), 219, 2_000)
        answers = clock.whole("  and journal", partial(answered, journalling, ledger, gateway.requests(), 1))
        gateway.write(answers)
        follow()
        acknowledge()
        asked = gateway.requests()
        answers = clock.whole(f"  {TURN} at a time", partial(answered, journalling, ledger, asked, TURN))
        raw = gateway.write(answers).splitlines()
        parsed = clock.each("  parse", lines.parse, zip(raw))
        whole = [(line, line.reservation) for line in parsed if line is not None and line.reservation is not None]
        billed = clock.each("  bill", lambda line, reservation: records.bill(line, reservation, prices), whole)
        finished = [(*each, bill) for each, bill in zip(whole, billed, strict=True)]
        made = clock.each("  record", records.record, finished)
        plain_rows = [each for each in made if isinstance(each, tuple)]
        clock.whole("  serialise", lambda: rows.packed(plain_rows).SerializeToString())  # noqa: B023 - called at once
        clock.whole("settle", follow)
        clock.whole("acknowledge", acknowledge)
        assert len(made) == BATCH
        assert not ledger.outstanding
        assert not outbox.pending
    gc.unfreeze()
    return {part: at(values, QUANTILE) for part, values in clock.taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.translator", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    results = {}
    for limits in (0, 5):
        with tempfile.TemporaryDirectory() as directory:
            results[f"{limits} limits"] = measure(chosen.repetitions, limits, Path(directory))
    print(f"CPU µs per request, {QUANTILE:.0%} quantile of {chosen.repetitions} batches of {BATCH}")
    print(f"{'':20}" + "".join(f"{name:>10}" for name in results))
    for part in next(iter(results.values())):
        print(f"{part:20}" + "".join(f"{row[part]:10.2f}" for row in results.values()))
    chosen.output.parent.mkdir(exist_ok=True)
    chosen.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
