"""Measures how long a change through the Admin API takes to act, and whether requests fail meanwhile.

A weight change is timed from its call to the answer of the first request after which only the new target serves; a
revoked key likewise to 401, and a limit that `apply` sets to 0 to 429. A second load determines the moment: 50
requests a second alone would miss it by up to 20 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from trunkline_proto.admin.v1 import admin_pb2, admin_pb2_grpc
from trunkline_proto.policy.v1 import policy_pb2

from bench.errors import ProcessFailedError
from bench.gateway import Gateway, document, started
from bench.load import request_bytes
from bench.recorded import RecordedLoad, settled_after
from bench.rounds import Progress
from bench.scenarios import PLAIN_MODEL
from bench.timed import Timed
from bench.upstream import running_upstream

GROUP = "changes"
GOAL_SECONDS = 0.25
LOAD_RATE, PROBE_RATE = 50, 250
CONNECTIONS = 16
# A change is observed for longer than its goal, to notice a target that returns.
WATCH_SECONDS = 0.5
_CALL_SECONDS = 30.0
_OLD, _NEW = "old", "new"


class _Admin:
    """The timed calls. Raises ProcessFailedError if the gateway refuses one."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._stub = admin_pb2_grpc.AdminStub(channel)
        # The routes are a file's.
        self._metadata = (("authorization", f"Bearer {token}"), ("x-trunkline-take-over", "true"))

    def route(self) -> admin_pb2.Route:
        listed = self._stub.ListRoutes(
            admin_pb2.ListRoutesRequest(), metadata=self._metadata, timeout=_CALL_SECONDS
        )
        return next(each for each in listed.routes if each.model == PLAIN_MODEL)

    def weigh(self, route: admin_pb2.Route, old: int, new: int) -> tuple[float, admin_pb2.Route]:
        """Changes the weight. Returns when the change was sent, and the new route."""
        changed = admin_pb2.Route()
        changed.CopyFrom(route)
        for target in changed.targets:
            target.weight = old if target.provider == _OLD else new
        sent = time.monotonic()
        answer = self._stub.PutRoute(
            admin_pb2.PutRouteRequest(route=changed), metadata=self._metadata, timeout=_CALL_SECONDS
        )
        if answer.propagation.rejections:
            raise ProcessFailedError(f"Envoy refused a weight change: {answer.propagation.rejections[0].reason}")
        return sent, answer.route

    def create_key(self, name: str, organisation: str = "default") -> tuple[str, str]:
        """Creates a key. Returns its id and its value."""
        key = admin_pb2.Key(organisation=organisation, name=name)
        made = self._stub.CreateKey(
            admin_pb2.CreateKeyRequest(key=key), metadata=self._metadata, timeout=_CALL_SECONDS
        )
        return made.key.id, made.value

    def revoke(self, key_id: str) -> float:
        """Revokes the key. Returns when the call was sent."""
        sent = time.monotonic()
        self._stub.RevokeKey(admin_pb2.RevokeKeyRequest(id=key_id), metadata=self._metadata, timeout=_CALL_SECONDS)
        return sent

    def create_organisation(self, name: str) -> None:
        wanted = admin_pb2.PutOrganisationRequest(organisation=admin_pb2.Organisation(name=name))
        self._stub.PutOrganisation(wanted, metadata=self._metadata, timeout=_CALL_SECONDS)

    def close(self, organisation: str) -> float:
        """Sets a limit of no requests by the call that `trunkline apply` makes. Returns when it was sent."""
        exported = self._stub.Export(admin_pb2.ExportRequest(), metadata=self._metadata, timeout=_CALL_SECONDS)
        for each in exported.document.organisations:
            if each.organisation.name == organisation:
                each.organisation.limits.add(metric=policy_pb2.METRIC_REQUESTS, per_seconds=60, amount=0)
        wanted = admin_pb2.ApplyRequest(document=exported.document)
        sent = time.monotonic()
        self._stub.Apply(wanted, metadata=self._metadata, timeout=_CALL_SECONDS)
        return sent


@contextmanager
def _admin(gateway: Gateway) -> Iterator[_Admin]:
    with grpc.insecure_channel(gateway.control) as channel:
        yield _Admin(channel, gateway.admin_token)


def measure(directory: Path, times: int, progress: Progress) -> list[Timed]:
    """Makes each change `times` times on one gateway. Raises BenchError."""
    with running_upstream(directory, _OLD) as old, running_upstream(directory, _NEW) as new:
        targets = [
            {"provider": _OLD, "model": PLAIN_MODEL, "weight": 80},
            {"provider": _NEW, "model": PLAIN_MODEL, "weight": 20},
        ]
        config = document({_OLD: old.port, _NEW: new.port}, [{"model": PLAIN_MODEL, "targets": targets}])
        with (
            started(directory, "changes", config, ready_model=PLAIN_MODEL) as gateway,
            _admin(gateway) as admin,
        ):
            request = request_bytes(PLAIN_MODEL, 1024, gateway.api_key, stream=False)
            load = RecordedLoad(
                directory, "changes", gateway.port, request, rate=LOAD_RATE, connections=CONNECTIONS
            )
            with load:
                weights, probed, lost = _weights(directory, gateway, admin, times, progress)
                revoked = _until_refused(directory, gateway, times, progress, "keys", 401, _revoking(admin))
                limited = _until_refused(directory, gateway, times, progress, "limits", 429, _limiting(admin))
    return [
        Timed.of(
            GROUP,
            "weight change, until only the new target serves",
            weights,
            GOAL_SECONDS,
            requests=probed,
            failed=lost,
        ),
        Timed.of(
            GROUP,
            "revoked key, until every answer is 401",
            revoked.seconds,
            GOAL_SECONDS,
            requests=len(load.requests) + revoked.asked,
            failed=load.failed + revoked.failed,
        ),
        Timed.of(
            GROUP,
            "limit set to 0 by apply, until every answer is 429",
            limited.seconds,
            GOAL_SECONDS,
            requests=limited.asked,
            failed=limited.failed,
        ),
    ]


def _weights(
    directory: Path, gateway: Gateway, admin: _Admin, times: int, progress: Progress
) -> tuple[list[float], int, int]:
    """Returns the seconds of each change, and the probe's requests and failures."""
    request = request_bytes(PLAIN_MODEL, 1024, gateway.api_key, stream=False)
    windows: list[tuple[float, float]] = []
    probe = RecordedLoad(directory, "weights", gateway.port, request, rate=PROBE_RATE, connections=CONNECTIONS)
    with probe:
        route = admin.route()
        for number in range(times):
            progress(f"changes: weights, {number + 1} of {times}")
            _, route = admin.weigh(route, 80, 20)
            time.sleep(WATCH_SECONDS / 2)
            sent, route = admin.weigh(route, 0, 100)
            time.sleep(WATCH_SECONDS)
            windows.append((sent, time.monotonic()))
    target = f"{_NEW}/{PLAIN_MODEL}"
    seconds = []
    for sent, until in windows:
        before = [each for each in probe.requests if sent - WATCH_SECONDS / 2 < each.due < sent]
        if not any(each.target == f"{_OLD}/{PLAIN_MODEL}" for each in before):
            raise ProcessFailedError("the old target served nothing before its weight became 0")
        seconds.append(settled_after([each for each in probe.requests if each.due < until], sent, target))
    return seconds, len(probe.requests), probe.failed


@dataclass(frozen=True, slots=True)
class _Refused:
    """Returns the seconds of each change, the requests, and those that failed in another way or before the change
    was sent.
    """

    seconds: list[float]
    asked: int
    failed: int


#: Creates the key of that number. Returns its value, and a function that makes it refused and returns when that
#: was sent.
_Prepare = Callable[[int], tuple[str, Callable[[], float]]]


def _revoking(admin: _Admin) -> _Prepare:
    def prepare(number: int) -> tuple[str, Callable[[], float]]:
        key_id, value = admin.create_key(f"bench-{number}")
        return value, lambda: admin.revoke(key_id)

    return prepare


def _limiting(admin: _Admin) -> _Prepare:
    def prepare(number: int) -> tuple[str, Callable[[], float]]:
        name = f"bench-{number}"
        admin.create_organisation(name)
        _, value = admin.create_key("bench", name)
        return value, lambda: admin.close(name)

    return prepare


def _until_refused(
    directory: Path, gateway: Gateway, times: int, progress: Progress, name: str, status: int, prepare: _Prepare
) -> _Refused:
    """Observes keys until every request with them is answered with `status`."""
    seconds, asked, failed = [], 0, 0
    for number in range(times):
        progress(f"changes: {name}, {number + 1} of {times}")
        value, change = prepare(number)
        request = request_bytes(PLAIN_MODEL, 1024, value, stream=False)
        probe = RecordedLoad(
            directory, f"{name}-{number}", gateway.port, request, rate=PROBE_RATE, connections=CONNECTIONS
        )
        with probe:
            time.sleep(WATCH_SECONDS / 2)
            sent = change()
            time.sleep(WATCH_SECONDS)
        if not any(each.status == 200 for each in probe.requests if each.ended < sent):
            raise ProcessFailedError(f"changes: {name}: a key that was to be refused had no 200 before")
        seconds.append(settled_after(probe.requests, sent, status))
        asked += len(probe.requests)
        failed += probe.unanswered + sum(
            each.status not in (200, status) or (each.status == status and each.ended < sent)
            for each in probe.requests
        )
    return _Refused(seconds, asked, failed)
