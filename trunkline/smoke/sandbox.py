"""Keys and routes that the smoke test creates for itself, and removes at the end.

All are named `smoke-…` and belong to one organisation. The routes are copies that only the smoke test uses: no
route, key or limit in use is changed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin, requests_pb2
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.errors import ControlError
from trunkline.smoke.client import SmokeResponse

PREFIX = "smoke-"
#: A change reaches every Envoy and translator within a second; a busy machine takes longer.
_ARRIVAL_SECONDS = 20.0
_POLL_SECONDS = 0.1
#: Anything older was left by a killed run.
_LEFT_OVER_SECONDS = 3600


class Sandbox:
    """Keys and routes of `organisation` that exist during the `with` block."""

    def __init__(self, api: AdminStub, organisation: str) -> None:
        self.api = api
        self.organisation = organisation
        self.name = PREFIX + secrets.token_hex(4)
        #: The models of the created routes → their versions.
        self._routes: dict[str, int] = {}
        self._keys: list[str] = []

    def __enter__(self) -> Self:
        self._remove_left_over()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for model in self._routes:
            with suppress(grpc.RpcError):
                self.api.DeleteRoute(admin.DeleteRouteRequest(model=model, organisation=self.organisation))
        for key_id in self._keys:
            with suppress(grpc.RpcError):
                self.api.RevokeKey(admin.RevokeKeyRequest(id=key_id))

    def key(self, label: str, limits: Iterable[policy.Limit] = ()) -> tuple[str, str]:
        """Creates a key for only this sandbox's routes. Returns its public id and its value."""
        key = admin.Key(
            organisation=self.organisation,
            name=f"{self.name}-{label}",
            models=[f"{self.name}/*"],
            limits=limits,
            expires_at=int(time.time()) + _LEFT_OVER_SECONDS,
        )
        created = self.api.CreateKey(admin.CreateKeyRequest(key=key))
        self._keys.append(created.key.id)
        return created.key.id, created.value

    def route(
        self, label: str, like: admin.Route, targets: Sequence[admin.RouteTarget], *, cache_seconds: int = 0
    ) -> str:
        """Creates or replaces a copy of the route `like` with these `targets`. Returns its model name."""
        route = admin.Route()
        route.CopyFrom(like)
        for field in ("id", "version", "managed_by", "limits", "cache_ttl_seconds"):
            route.ClearField(field)
        route.model = f"{self.name}/{label}"
        route.organisation = self.organisation
        route.cache_ttl_seconds = cache_seconds
        del route.targets[:]
        route.targets.extend(targets)
        for target in route.targets:
            del target.price_history[:]
        route.version = self._routes.get(route.model, 0)
        stored = self.api.PutRoute(admin.PutRouteRequest(route=route)).route
        self._routes[route.model] = stored.version
        return route.model

    def arrived(self, ask: Callable[[], SmokeResponse], on_its_way: Collection[int] = (401, 404)) -> SmokeResponse:
        """Repeats a request while the gateway itself refuses it with a status of `on_its_way`, for a limited time.

        New objects may not have reached every Envoy and translator yet. Such a refusal costs nothing.
        """
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while True:
            answer = ask()
            is_early = answer.status in on_its_way or answer.error_code == "policy_unavailable"
            if not is_early or answer.target or time.monotonic() > deadline:
                return answer
            time.sleep(_POLL_SECONDS)

    def record(self, answer: SmokeResponse) -> ledger.UsageRecord | None:
        """Returns the usage record of the request; None if it does not arrive in time."""
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while time.monotonic() < deadline:
            with suppress(grpc.RpcError):
                found = self.api.GetRequest(requests_pb2.GetRequestRequest(id=answer.id))
                if found.HasField("finished"):
                    return found.finished.record
            time.sleep(_POLL_SECONDS)
        return None

    def _remove_left_over(self) -> None:
        """Removes leftovers of a killed run."""
        before = time.time() - _LEFT_OVER_SECONDS
        old = [
            each
            for each in self.api.ListKeys(admin.ListKeysRequest(organisation=self.organisation)).keys
            if each.name.startswith(PREFIX) and each.created_at < before
        ]
        names = {each.name.rpartition("-")[0] for each in old}
        for route in self.api.ListRoutes(admin.ListRoutesRequest()).routes:
            if route.organisation == self.organisation and route.model.partition("/")[0] in names:
                self.api.DeleteRoute(admin.DeleteRouteRequest(model=route.model, organisation=route.organisation))
        for key in old:
            self.api.RevokeKey(admin.RevokeKeyRequest(id=key.id))


def default_organisation(api: AdminStub, wanted: str) -> str:
    """Returns `wanted`, else `default`, else the first organisation. Raises ControlError."""
    names = [each.name for each in api.ListOrganisations(admin.ListOrganisationsRequest()).organisations]
    if wanted and wanted not in names:
        raise ControlError(f"no organisation {wanted}; there are: {', '.join(names) or 'none'}")
    if not names:
        raise ControlError(
            "there is no organisation yet: `trunkline orgs add NAME`, or try `trunkline smoke --demo`"
        )
    return wanted or ("default" if "default" in names else names[0])
