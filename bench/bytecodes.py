"""`python -m bench.bytecodes`: how many bytecodes the translator executes for a plain request, by function.

In a running gateway, where four processes share the caches, the translator's time follows the number of bytecodes,
and a busy machine does not change their number. A check is counted from frame to frame, a line of the log until
its record waits to be shipped, both in batches as a busy gateway has them.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import structlog

from bench.translator import BATCH, TURN, Gateway
from translator.checks.answers import Allowed
from translator.checks.frames import ASKED, FrameKind
from translator.checks.session import CheckSession
from translator.ledger import rows
from translator.message import Request

_CHECK, _ANSWER = struct.Struct("<IQBI"), struct.Struct("<IQHI")
_SIZE = 4
#: Where an answer's head has the log context.
_LOG_CONTEXT = 5
_MAX_BODY = 1 << 20


class Counted:
    """Bytecodes and calls by function."""

    def __init__(self) -> None:
        self.bytecodes: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()

    def run(self, work: Callable[[], object]) -> None:
        """Counts what `work` executes."""
        sys.settrace(self._called)
        try:
            work()
        finally:
            sys.settrace(None)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.calls[frame.f_code] += 1
        return self._executed

    def _executed(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.bytecodes[frame.f_code] += 1
        return self._executed

    def text(self, name: str, most: int) -> str:
        """Returns a table of the functions with the most bytecodes, per request."""
        lines = [
            f"{name}: {self.bytecodes.total() / BATCH:.0f} bytecodes in {self.calls.total() / BATCH:.1f} calls"
        ]
        for code, count in self.bytecodes.most_common(most):
            place = f"{Path(code.co_filename).parent.name}/{Path(code.co_filename).name}:{code.co_firstlineno}"
            lines.append(f"{count / BATCH:8.1f} {self.calls[code] / BATCH:5.1f}  {place} {code.co_qualname}")
        return "\n".join(lines)


def frame_of(number: int, request: Request) -> bytes:
    """Returns a whole check, as Envoy's module sends it."""
    head = b"\n".join(
        [request.method.encode(), request.target, *(request.headers.get(each, b"") for each in ASKED)]
    )
    size = _CHECK.size - _SIZE + len(head) + len(request.body)
    return _CHECK.pack(size, number, FrameKind.WHOLE, len(head)) + head + request.body


def allowed_in(answers: bytes) -> list[Allowed]:
    """Returns the log contexts of answers that admit requests."""
    found, at = [], 0
    while at < len(answers):
        size, _, status, head = _ANSWER.unpack_from(answers, at)
        assert status == 200
        lines = answers[at + _ANSWER.size : at + _ANSWER.size + head].decode("latin-1").split("\n")
        found.append(Allowed("", log_context=lines[_LOG_CONTEXT]))
        at += _SIZE + size
    return found


def measure(limits: int, directory: Path) -> tuple[Counted, Counted]:
    """Returns the counts of a batch of checks, and of one of lines, after everything has run once."""
    gateway = Gateway(directory, limits)
    ledger, service = gateway.ledger, gateway.service(journal=True)
    session = CheckSession(service, ledger.flush, _MAX_BODY, structlog.get_logger(), lambda written: None)
    checks, lines = Counted(), Counted()

    def answer(received: Sequence[bytes]) -> bytes:
        return b"".join([session.receive(each) for each in received])

    def follow() -> None:
        while ledger._tail.step():
            pass

    for last in (*[False] * 4, True):
        requests = gateway.requests()
        frames = [frame_of(number, request) for number, request in enumerate(requests)]
        turns = [b"".join(frames[begin : begin + TURN]) for begin in range(0, BATCH, TURN)]
        answers: list[bytes] = []
        if last:
            checks.run(lambda: answers.append(answer(turns)))  # noqa: B023 - called at once
        else:
            answers.append(answer(turns))
        gateway.write(allowed_in(b"".join(answers)))
        if last:
            lines.run(follow)
        else:
            follow()
        ledger._outbox.acknowledge(map(rows.record_id, ledger._outbox.batch(BATCH)))
    assert not ledger.outstanding
    return checks, lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bytecodes", description=__doc__)
    parser.add_argument("--limits", type=int, choices=(0, 5), default=0, help="limits on each request")
    parser.add_argument("--functions", type=int, default=15, help="shown of each part")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        checks, lines = measure(chosen.limits, Path(directory))
    print(checks.text("a check", chosen.functions))
    print(lines.text("a line of the log", chosen.functions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
