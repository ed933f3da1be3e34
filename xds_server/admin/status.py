"""Renders clients and what they refused."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server import client_status
from xds_server.admin.ports import Clients, ListenerCertificate
from xds_server.background import BackgroundTask
from xds_server.ledger.arrivals import Arrival
from xds_server.reasons import Reason

_RECENT_REJECTIONS = 50


def propagation(value: client_status.Propagation) -> pb.Propagation:
    """Renders what became of a revision at the connected clients."""
    return pb.Propagation(
        revision=value.revision,
        complete=value.complete,
        accepted=value.accepted,
        rejections=[rejection(each) for each in value.rejections],
        waiting_for=value.waiting_for,
    )


def rejection(value: client_status.Rejection) -> pb.Rejection:
    """Renders a rejected resource; its time becomes whole Unix seconds."""
    return pb.Rejection(
        client_id=value.client_id,
        type_url=value.type_url,
        resource_names=value.resource_names,
        reason=value.reason,
        at=int(value.at),
    )


def status(
    revision: int,
    known: Clients,
    *,
    refused_records: int,
    certificate: ListenerCertificate | None = None,
    problems: Sequence[Reason] = (),
    alerts: Sequence[pb.LimitAlert] = (),
    rests: Sequence[pb.RestAlert] = (),
    tasks: Sequence[BackgroundTask] = (),
    arrivals: Sequence[tuple[str, Arrival]] = (),
) -> pb.GetStatusResponse:
    """Renders the state of the control plane. `refused_records` counts usage records that could not be stored."""
    return pb.GetStatusResponse(
        revision=revision,
        clients=[_client(each) for each in known.clients()],
        recent_rejections=[rejection(each) for each in known.recent_rejections()[:_RECENT_REJECTIONS]],
        refused_peers=[
            pb.RefusedPeer(peer=each.peer, reason=each.reason, count=each.count, at=int(each.at))
            for each in known.refused_peers()
        ],
        refused_records=refused_records,
        problems=problems,
        problem_codes=[each.coded for each in problems],
        alerts=alerts,
        rests=rests,
        tasks=[
            pb.BackgroundTask(
                description=each.description,
                done=each.done,
                total=each.total,
                unit=each.unit,
                description_code=each.description.coded,
            )
            for each in tasks
        ],
        ledger=[
            pb.LedgerSource(source=source, last_at=int(each.at), lag_ms=round(1_000 * each.lag))
            for source, each in arrivals
        ],
        certificate=None
        if certificate is None
        else pb.ListenerCertificate(
            names=certificate.names,
            expires_at=certificate.expires_at,
            problem=certificate.problem,
            problem_code=certificate.problem.coded if certificate.problem else None,
        ),
    )


def _client(value: client_status.ClientStatus) -> pb.ClientStatus:
    return pb.ClientStatus(
        client_id=value.client_id,
        kind=value.kind,
        software=value.software,
        connected=value.connected,
        since=int(value.since),
        types=[_type(each) for each in value.types],
        problem=value.problem,
        problem_code=value.problem.coded if value.problem else None,
        peer=value.peer,
    )


def _type(value: client_status.TypeStatus) -> pb.TypeStatus:
    return pb.TypeStatus(
        type_url=value.type_url,
        accepted_revision=value.accepted_revision,
        pending=value.pending,
        acks=value.acks,
        nacks=value.nacks,
        rejection=None if value.rejection is None else rejection(value.rejection),
        last_ack_ms=value.last_ack_ms,
    )
