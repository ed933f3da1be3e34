"""What a report may contain, and the sidecar's error if it contains anything else."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.node.v1 import registry_pb2 as pb

from tests.xds_server.nodes.reporting import first, heartbeat, offer
from xds_server.errors import InvalidFieldError, ProtocolVersionError
from xds_server.nodes.report import ReportChecker


def test_a_stream_of_good_reports() -> None:
    checker = ReportChecker()
    checker.check(first(sequence=7))
    for sequence in range(8, 20):
        checker.check(heartbeat(sequence, load=pb.Load(in_flight=sequence)))


def facts(**values: Any) -> pb.NodeFacts:
    return pb.NodeFacts(**{"protocol": 1, **values})


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (heartbeat(1), "facts: missing in the stream's first report\nload: missing"),
        (first(offers_complete=False), "offers_complete: "),
        (first(availability=0), "availability: missing"),
        (first(*(offer(f"m-{number}") for number in range(513))), "offers: 513; accepted: at most 512"),
        (first(offer("x" * 257)), r"offers\[0\].model: 257 bytes; accepted: at most 256"),
        (first(offer("ä" * 129)), r"offers\[0\].model: 258 bytes"),
        (first(offer(), offer("")), r"offers\[1\].model: empty"),
        (first(offer("a\x1b[2Jb")), r"offers\[0\].model: 'a\\x1b\[2Jb' has characters that cannot be printed"),
        (first(offer(server="x" * 300)), r"offers\[0\].server: 300 bytes"),
        (first(offer(capabilities=["chat"] * 17)), r"offers\[0\].capabilities: 17; accepted: at most 16"),
        (first(offer(capabilities=["c" * 300])), r"offers\[0\].capabilities: 300 bytes"),
        (first(offer(input_price=10**12 + 1)), r"offers\[0\].input_price: 1000000000001; accepted"),
        (first(offer(output_price=2**64 - 1)), r"offers\[0\].output_price: "),
        (first(load=pb.Load(kv_cache_permille=1002)), "load.kv_cache_permille: 1002; accepted: at most 1001"),
        (first(availability=9), "availability: 9 is unknown"),
        (first(availability_reason="r" * 257), "availability_reason: 257 bytes"),
        (first(facts=facts(operating_system="o" * 257)), "facts.operating_system: 257 bytes"),
        (first(facts=facts(schedule="s" * 257)), "facts.schedule: 257 bytes"),
        (first(facts=facts(gpus=[pb.Gpu(name="g")] * 65)), "facts.gpus: 65; accepted: at most 64"),
        (first(facts=facts(gpus=[pb.Gpu(name="g" * 257)])), r"facts.gpus\[0\].name: 257 bytes"),
        (first(direct="node.example:8443"), "facts.direct_address: 'node.example:8443' is not an IP address"),
        (first(offer("n" * 2_000_000)), "message: 2,000,0.. bytes; accepted: at most 1,048,576"),
    ],
)
def test_a_first_report_out_of_bounds(report: pb.NodeReport, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as caught:
        ReportChecker().check(report)
    assert len(str(caught.value)) < 2_000


def test_a_million_mistakes_are_reported_in_a_few_words() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        ReportChecker().check(first(*(offer("\n") for _ in range(512))))
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1] == "and more"


@pytest.mark.parametrize("sequence", [1, 0, 3])
def test_a_sequence_with_a_gap(sequence: int) -> None:
    checker = ReportChecker()
    checker.check(first())
    with pytest.raises(InvalidFieldError, match=rf"sequence: {sequence} after 1; accepted: 2"):
        checker.check(heartbeat(sequence))


@pytest.mark.parametrize(("protocol", "side"), [(0, "trunkline-node"), (2, "the gateway")])
def test_another_protocol(protocol: int, side: str) -> None:
    with pytest.raises(ProtocolVersionError, match=f"speaks version {protocol} .* version 1: update {side}"):
        ReportChecker().check(first(facts=pb.NodeFacts(protocol=protocol)))
