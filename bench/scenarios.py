"""The scenarios that are run against each subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.load import Load

PLAIN_MODEL = "bench"
STREAM_MODEL = "paced-200-5"  # 200 events in one second, so that the events dominate a stream's cost
SHORT_STREAM_MODEL = "paced-5-5"
SLOW_MODEL = "paced-100000-1000"  # one event a second, longer than any run
MODELS = (PLAIN_MODEL, STREAM_MODEL, SHORT_STREAM_MODEL, SLOW_MODEL)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`target` is the maximum CPU ratio gateway/bare per `unit`; `against_direct` also runs without a proxy."""

    name: str
    model: str
    prompt_bytes: int
    stream: bool
    load: Load
    unit: Literal["request", "event"]
    target: float | None = None
    against_direct: bool = False


def scenarios(*, seconds: float) -> tuple[Scenario, ...]:
    """Returns all scenarios, with rounds of that many seconds.

    CPU per request is compared twice: at one rate that both sustain, and in closed loops, where each runs at full
    speed. A saturated proxy wakes up less often, so its requests are cheaper than at any lower rate.
    """
    closed = Load(connections=16, seconds=seconds)
    streams = Load(connections=40, seconds=seconds)
    steady = Load(connections=64, seconds=seconds, rate=400)
    low = Load(connections=50, seconds=seconds, rate=50)
    return (
        Scenario("plain 1 KB, 400/s", PLAIN_MODEL, 1024, False, steady, "request", target=4.0),
        Scenario("plain 20 KB, 400/s", PLAIN_MODEL, 20480, False, steady, "request"),
        Scenario("plain 1 KB, closed loop", PLAIN_MODEL, 1024, False, closed, "request", target=4.0),
        Scenario("plain 20 KB, closed loop", PLAIN_MODEL, 20480, False, closed, "request"),
        Scenario("stream 1 KB", STREAM_MODEL, 1024, True, streams, "event", target=1.6),
        Scenario("stream 20 KB", STREAM_MODEL, 20480, True, streams, "event"),
        Scenario("low load, plain 1 KB", PLAIN_MODEL, 1024, False, low, "request", against_direct=True),
        Scenario("low load, plain 20 KB", PLAIN_MODEL, 20480, False, low, "request", against_direct=True),
        Scenario("low load, stream 1 KB", SHORT_STREAM_MODEL, 1024, True, low, "request", against_direct=True),
    )


@dataclass(frozen=True, slots=True)
class SlowStreams:
    """Many streams at one event a second; `ramp` and `hold` in seconds."""

    streams: int
    ramp: float
    hold: float
