from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st
from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.picture import Picture, Reports
from node_sidecar.wishes.availability import Availability, Serves

PICTURE = Picture(
    wire.NodeFacts(sidecar_version="1", protocol=1),
    (wire.Offer(model="m", healthy=True),),
    Availability(Serves.OPEN),
    load=wire.Load(in_flight=1),
)
PICTURES = st.builds(
    Picture,
    st.builds(wire.NodeFacts, cpus=st.integers(0, 2)),
    st.lists(st.sampled_from(["a", "b"]).map(lambda name: wire.Offer(model=name)), max_size=2).map(tuple),
    st.builds(Availability, st.sampled_from(Serves), st.sampled_from(["", "why"])),
    st.booleans(),
    st.builds(wire.Load, in_flight=st.integers(0, 2)),
)


def test_the_first_report_says_everything_and_the_next_nothing() -> None:
    reports = Reports()
    first = reports.next(PICTURE)
    assert (first.sequence, first.facts, list(first.offers), first.load) == (
        1,
        PICTURE.facts,
        list(PICTURE.offers),
        PICTURE.load,
    )
    assert first.offers_complete
    assert first.availability == wire.AVAILABILITY_OPEN
    assert reports.next(PICTURE) == wire.NodeReport(sequence=2)


def test_no_offers_withdraw_all() -> None:
    reports = Reports()
    reports.next(PICTURE)
    emptied = reports.next(replace(PICTURE, offers=()))
    assert emptied.offers_complete
    assert not emptied.offers


@given(st.lists(PICTURES, min_size=1))
def test_whoever_adds_up_the_reports_has_the_picture(pictures: list[Picture]) -> None:
    """By the rules of registry.proto: what is absent is unchanged."""
    reports, held = Reports(), wire.NodeReport()
    for number, picture in enumerate(pictures, 1):
        report = wire.NodeReport.FromString(reports.next(picture).SerializeToString())
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
        assert held.facts == picture.facts
        assert held.load == picture.load
        assert tuple(held.offers) == picture.offers
        assert report.draining == picture.draining
        assert held.availability_reason == picture.availability.reason
        assert wire.Availability.Name(held.availability).endswith(picture.availability.serves.name)
