from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.preferences.availability import Availability, Serves
from node_sidecar.state import LocalNodeState, Reports

STATE = LocalNodeState(
    wire.NodeFacts(sidecar_version="1", protocol=1),
    (wire.Offer(model="m", healthy=True),),
    Availability(Serves.OPEN),
    load=wire.Load(in_flight=1),
)
STATES = st.builds(
    LocalNodeState,
    st.builds(wire.NodeFacts, cpus=st.integers(0, 2)),
    st.lists(st.sampled_from(["a", "b"]).map(lambda name: wire.Offer(model=name)), max_size=2).map(tuple),
    st.builds(Availability, st.sampled_from(Serves), st.sampled_from(["", "why"])),
    st.booleans(),
    st.builds(wire.Load, in_flight=st.integers(0, 2)),
)


def test_the_first_report_says_everything_and_the_next_nothing() -> None:
    reports = Reports()
    first = reports.next(STATE)
    assert (first.sequence, first.facts, list(first.offers), first.load) == (
        1,
        STATE.facts,
        list(STATE.offers),
        STATE.load,
    )
    assert first.offers_complete
    assert first.availability == wire.AVAILABILITY_OPEN
    assert reports.next(STATE) == wire.NodeReport(sequence=2)


def test_no_offers_withdraw_all() -> None:
    reports = Reports()
    reports.next(STATE)
    emptied = reports.next(replace(STATE, offers=()))
    assert emptied.offers_complete
    assert not emptied.offers


@pytest.mark.slow
@given(st.lists(STATES, min_size=1))
def test_the_reports_add_up_to_the_state(states: list[LocalNodeState]) -> None:
    """Adds up the reports by the rules of registry.proto: an absent field is unchanged."""
    reports, held = Reports(), wire.NodeReport()
    for number, state in enumerate(states, 1):
        report = wire.NodeReport.FromString(reports.next(state).SerializeToString())
        assert report.sequence == number
        if report.HasField("facts"):
            held.facts.CopyFrom(report.facts)
        if report.HasField("load"):
            held.load.CopyFrom(report.load)
        if report.offers_complete:
            del held.offers[:]
            held.offers.extend(report.offers)
        if report.availability:
            held.availability, held.availability_reason = report.availability, report.availability_reason
        assert held.facts == state.facts
        assert held.load == state.load
        assert tuple(held.offers) == state.offers
        assert report.draining == state.draining
        assert held.availability_reason == state.availability.reason
        assert wire.Availability.Name(held.availability).endswith(state.availability.serves.name)
