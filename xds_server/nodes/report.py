"""Checks what a report may contain. A sidecar is a stranger's program: its reports are bounded before they are
kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.errors import InvalidFieldError, ProtocolVersionError
from xds_server.nodes import direct

#: The versions of trunkline.node.v1 that this control plane speaks.
PROTOCOL = 1

#: Bytes of one message. The server's own limit is ADS's, and larger.
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_OFFERS = 512
#: Bytes of a name or a reason.
MAX_TEXT_BYTES = 256
MAX_CAPABILITIES = 16
MAX_GPUS = 64
#: Micro-USD per million tokens: a million USD.
MAX_PRICE = 10**12
#: `Load.kv_cache_permille` of a node that does not know its value.
UNKNOWN_KV_CACHE = 1001

_AVAILABILITIES = frozenset(pb.Availability.values())
#: Problems that are listed of a report with many.
_MAX_PROBLEMS = 10


def check_protocol(protocol: int) -> None:
    """Raises ProtocolVersionError for a version that is not spoken here."""
    if protocol != PROTOCOL:
        behind = "trunkline-node" if protocol < PROTOCOL else "the gateway"
        raise ProtocolVersionError(
            f"the sidecar speaks version {protocol} of the node protocol and this gateway version {PROTOCOL}: "
            f"update {behind}"
        )


def check_size(size: int) -> None:
    """Checks the size of a whole message in bytes. Raises InvalidFieldError."""
    if size > MAX_MESSAGE_BYTES:
        raise InvalidFieldError([f"message: {size:,} bytes; accepted: at most {MAX_MESSAGE_BYTES:,}"])


class ReportChecker:
    """Checks the reports of one stream: its first report is complete, and the sequence has no gap."""

    def __init__(self) -> None:
        self._sequence: int | None = None

    def check(self, report: pb.NodeReport) -> None:
        """Raises InvalidFieldError with the fields' paths, ProtocolVersionError."""
        check_size(report.ByteSize())
        if report.HasField("facts"):
            check_protocol(report.facts.protocol)
        problems = list(_first(self._problems(report), _MAX_PROBLEMS))
        if problems:
            raise InvalidFieldError(problems)
        self._sequence = report.sequence

    def _problems(self, report: pb.NodeReport) -> Iterator[str]:
        if self._sequence is None:
            yield from _incomplete(report)
        elif report.sequence != self._sequence + 1:
            yield f"sequence: {report.sequence} after {self._sequence}; accepted: {self._sequence + 1}"
        if report.availability not in _AVAILABILITIES:
            yield f"availability: {report.availability} is unknown"
        yield from _text("availability_reason", report.availability_reason)
        if report.HasField("facts"):
            yield from _facts(report.facts)
        if report.HasField("load"):
            yield from _load(report.load)
        yield from _offers(report)


def text_problems(path: str, value: str) -> list[str]:
    """Returns the problems of a name that people will see."""
    return list(_text(path, value))


def _incomplete(report: pb.NodeReport) -> Iterator[str]:
    for path in ("facts", "load"):
        if not report.HasField(path):
            yield f"{path}: missing in the stream's first report"
    if not report.offers_complete:
        yield "offers_complete: accepted in a stream's first report: true"
    if report.availability == pb.AVAILABILITY_UNSPECIFIED:
        yield "availability: missing in the stream's first report"


def _facts(facts: pb.NodeFacts) -> Iterator[str]:
    yield from _text("facts.sidecar_version", facts.sidecar_version)
    yield from _text("facts.operating_system", facts.operating_system)
    yield from _text("facts.concurrency_source", facts.concurrency_source)
    yield from _text("facts.schedule", facts.schedule)
    if len(facts.gpus) > MAX_GPUS:
        yield f"facts.gpus: {len(facts.gpus)}; accepted: at most {MAX_GPUS}"
    else:
        for index, gpu in enumerate(facts.gpus):
            yield from _text(f"facts.gpus[{index}].name", gpu.name)
    if facts.direct_address and direct.parse(facts.direct_address) is None:
        # Envoy resolves no names in endpoint assignments, and refuses the whole pool because of one.
        yield (
            f"facts.direct_address: {_shown(facts.direct_address)} is not an IP address and port, "
            "such as 10.0.0.5:8443"
        )


def _load(load: pb.Load) -> Iterator[str]:
    if load.kv_cache_permille > UNKNOWN_KV_CACHE:
        yield f"load.kv_cache_permille: {load.kv_cache_permille}; accepted: at most {UNKNOWN_KV_CACHE}"
    if len(load.gpus) > MAX_GPUS:
        yield f"load.gpus: {len(load.gpus)}; accepted: at most {MAX_GPUS}"
    percents = [(f"load.gpus[{index}].use_percent", gpu.use_percent) for index, gpu in enumerate(load.gpus)]
    idle = load.idle
    percents += [
        ("load.idle.owner_cpu_percent", idle.owner_cpu_percent),
        ("load.idle.owner_gpu_percent", idle.owner_gpu_percent),
    ]
    yield from (f"{path}: {percent}; accepted: at most 100" for path, percent in percents if percent > 100)
    yield from _text("load.idle.state", idle.state)


def _offers(report: pb.NodeReport) -> Iterator[str]:
    if len(report.offers) > MAX_OFFERS:
        yield f"offers: {len(report.offers):,}; accepted: at most {MAX_OFFERS}"
        return
    for index, offer in enumerate(report.offers):
        path = f"offers[{index}]"
        if not offer.model:
            yield f"{path}.model: empty"
        yield from _text(f"{path}.model", offer.model)
        yield from _text(f"{path}.server", offer.server)
        if len(offer.capabilities) > MAX_CAPABILITIES:
            yield f"{path}.capabilities: {len(offer.capabilities)}; accepted: at most {MAX_CAPABILITIES}"
        else:
            for capability in offer.capabilities:
                yield from _text(f"{path}.capabilities", capability)
        for name, price in (("input_price", offer.input_price), ("output_price", offer.output_price)):
            if price > MAX_PRICE:
                yield f"{path}.{name}: {price}; accepted: at most {MAX_PRICE} micro-USD per million tokens"


def _text(path: str, value: str) -> Iterator[str]:
    """Yields the problems of a text: it is bounded, and free of control characters, which a terminal would
    obey.
    """
    size = len(value.encode())
    if size > MAX_TEXT_BYTES:
        yield f"{path}: {size:,} bytes; accepted: at most {MAX_TEXT_BYTES}"
    elif not value.isprintable():
        yield f"{path}: {_shown(value)} has characters that cannot be printed"


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 64 else value[:64] + "…")


def _first(problems: Iterator[str], most: int) -> Iterator[str]:
    for number, problem in enumerate(problems):
        if number == most:
            yield "and more"
            return
        yield problem
