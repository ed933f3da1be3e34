"""The control plane's policy: each response is applied completely or not at all, with versions to continue
from.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import orjson
from google.protobuf.message import DecodeError, Message
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from translator.errors import LimitError, PolicyError
from translator.limits.limit import HolderKind
from translator.policy.index import PolicyIndex
from translator.policy.limits import limits
from translator.tokens import AccessTokens

M = TypeVar("M", bound=Message)
Source = Literal["none", "snapshot", "control plane"]

#: Ids stand in HTTP headers and in Envoy's metadata.
_ID = re.compile(r"[!-~]{1,200}")
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Type(Generic[M]):
    """Adds the resources of one type to the index and removes them from it."""

    message: type[M]
    check: Callable[[M], None]
    put: Callable[[M], None]
    remove: Callable[[Iterable[str]], None]


class PolicyStore:
    """The policy; see `PolicyIndex` for the look-ups.

    `on_change` is called after every applied response that changed something. `clock` gives seconds that never go
    back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index = PolicyIndex()
        self.tokens = tokens = AccessTokens(index.key_by_id)
        #: Called with every route that is added or changed.
        self.on_route: Callable[[policy.Route], None] = lambda route: None
        self.on_change: Callable[[], None] = lambda: None
        #: Called when the policy is complete: after the last type of a stream's first responses.
        self.on_complete: Callable[[], None] = lambda: None
        self._clock = clock
        self._changed_at = clock()
        self._types: dict[str, _Type[Any]] = {
            type_url(policy.Organisation): _Type(
                policy.Organisation, _check_organisation, index.put_organisation, index.remove_organisations
            ),
            type_url(policy.Key): _Type(policy.Key, _check_key, index.put_key, index.remove_keys),
            _JWT_ISSUER: _Type(policy.JwtIssuer, _check_jwt_issuer, tokens.put, tokens.remove),
            type_url(policy.Route): _Type(policy.Route, _check_route, self._put_route, index.remove_routes),
        }
        self._resources: dict[str, dict[str, discovery.Resource]] = {url: {} for url in self._types}
        self._received: set[str] = set()
        self._restored = False
        self._up_to_date = False
        #: Returns whether the control plane is still being configured.
        self.starting: Callable[[], bool] = lambda: False
        self.key_by_hash = index.key_by_hash
        self.key_by_id = index.key_by_id
        self.has_organisation = index.has_organisation
        self.flow = index.flow
        self.grant = index.grant
        self.limits_by_id = index.limits_by_id
        self.route = index.route
        self.default_model = index.default_model
        self.routes = index.routes

    @property
    def type_urls(self) -> tuple[str, ...]:
        """The types in the order in which they are needed: a key's organisation before the key."""
        return tuple(self._types)

    @property
    def source(self) -> Source:
        """The origin of the policy: the control plane once it has sent every type."""
        if self._complete:
            return "control plane"
        return "snapshot" if self._restored else "none"

    @property
    def held(self) -> bool:
        """True if there is any policy, stored or received."""
        return self.source != "none"

    @property
    def certain(self) -> bool:
        """True if a missing object does not exist, because the control plane has sent everything on this
        connection.
        """
        return self._up_to_date and not self.starting()

    def begin(self) -> None:
        """Called when a stream opens, perhaps to another control plane or one with a restored database."""
        self._up_to_date = False

    @property
    def age_seconds(self) -> float:
        """Returns the seconds since the policy last changed or was restored."""
        return self._clock() - self._changed_at

    @property
    def counts(self) -> dict[str, int]:
        """Returns how many objects there are by the type's name in the plural, issuers only if any."""
        return {
            f"{url.rpartition('.')[2].lower()}s": len(held)
            for url, held in self._resources.items()
            if held or url != _JWT_ISSUER
        }

    def versions(self, url: str) -> dict[str, str]:
        """Returns the versions of a type's resources, by name."""
        return {name: resource.version for name, resource in self._resources[url].items()}

    @property
    def _complete(self) -> bool:
        """Marks the policy as complete. Routes arrive last, so a restored policy then equals the control
        plane's.
        """
        # A control plane of an earlier version sends no issuers.
        return self._received.issuperset(self._types.keys() - {_JWT_ISSUER}) or (
            self._restored and _LAST in self._received
        )

    def apply(self, response: discovery.DeltaDiscoveryResponse) -> None:
        """Applies one response of the control plane.

        Raises:
            PolicyError: the response is refused; nothing of it is applied.
        """
        self._take(response, self._checked(response))
        self._received.add(response.type_url)
        if response.type_url == _LAST and self._complete:
            self._up_to_date = True
            self.on_complete()
        if response.resources or response.removed_resources:
            self._changed_at = self._clock()
            self.on_change()

    def restore(self, snapshot: Iterable[discovery.DeltaDiscoveryResponse]) -> None:
        """Applies what `contents` once returned. Raises PolicyError; then nothing is applied."""
        checked = [(response, self._checked(response)) for response in snapshot]
        for response, messages in checked:
            self._take(response, messages)
        self._restored = True

    def contents(self) -> list[discovery.DeltaDiscoveryResponse]:
        """Returns the whole policy as one response per type."""
        return [
            discovery.DeltaDiscoveryResponse(type_url=url, resources=resources.values())
            for url, resources in self._resources.items()
        ]

    def _checked(self, response: discovery.DeltaDiscoveryResponse) -> list[Message]:
        """Returns the messages of a response, in its order. Raises PolicyError."""
        kind = self._types.get(response.type_url)
        if kind is None:
            raise PolicyError(
                f"unknown type {response.type_url!r}: this translator knows {', '.join(self._types)}"
            )
        names = [resource.name for resource in response.resources]
        twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        twice.update(set(names).intersection(response.removed_resources))
        if twice:
            raise PolicyError(f"{min(twice)!r} is sent twice, or both sent and removed")
        return [_decode(kind, response.type_url, resource) for resource in response.resources]

    def _put_route(self, message: policy.Route) -> None:
        self._index.put_route(message)
        self.on_route(message)

    def _take(self, response: discovery.DeltaDiscoveryResponse, messages: list[Message]) -> None:
        kind = self._types[response.type_url]
        held = self._resources[response.type_url]
        kind.remove(response.removed_resources)
        for name in response.removed_resources:
            held.pop(name, None)
        for resource, message in zip(response.resources, messages, strict=True):
            kind.put(message)
            held[resource.name] = resource


def type_url(message: type[Message]) -> str:
    """Returns the type URL by which xDS names the resources of a message type."""
    return f"type.googleapis.com/{message.DESCRIPTOR.full_name}"


_LAST = type_url(policy.Route)
_JWT_ISSUER = type_url(policy.JwtIssuer)


def _decode(kind: _Type[M], url: str, resource: discovery.Resource) -> M:
    """Returns the checked message of one resource. Raises PolicyError."""
    name = resource.name
    if resource.resource.type_url != url:
        raise PolicyError(f"{name!r}: is a {resource.resource.type_url!r} in a response for {url!r}")
    try:
        message = kind.message.FromString(resource.resource.value)
    except DecodeError:
        raise PolicyError(f"{name!r}: does not decode as {url!r}") from None
    if getattr(message, "id") != name:  # noqa: B009 - protobuf's base class does not declare it
        raise PolicyError(f"{name!r}: its id differs from its resource name")
    if not _ID.fullmatch(name):
        raise PolicyError(f"{name!r}: an id must be 1 to 200 visible ASCII characters")
    kind.check(message)
    return message


def _check_organisation(message: policy.Organisation) -> None:
    _check_limits(message, "organisation")


def _check_key(message: policy.Key) -> None:
    if len(message.hash) != _HASH_BYTES:
        raise PolicyError(f"{message.id!r}: hash has {len(message.hash)} bytes, not {_HASH_BYTES}")
    if not _ID.fullmatch(message.organisation_id):
        raise PolicyError(f"{message.id!r}: organisation_id must be 1 to 200 visible ASCII characters")
    if len(message.former_hash) not in {0, _HASH_BYTES} or bool(message.former_hash) != (message.former_until > 0):
        raise PolicyError(f"{message.id!r}: former_hash needs {_HASH_BYTES} bytes and a former_until")
    if message.former_hash == message.hash:
        raise PolicyError(f"{message.id!r}: former_hash equals hash")
    _check_limits(message, "key")


def _check_jwt_issuer(message: policy.JwtIssuer) -> None:
    if not message.issuer or not message.audiences:
        raise PolicyError(f"{message.id!r}: issuer or audiences are empty")
    try:
        readable = not message.keys or isinstance(orjson.loads(message.keys)["keys"], list)
    except (ValueError, KeyError, TypeError):
        readable = False
    if not readable:
        raise PolicyError(f"{message.id!r}: keys are not a JWK set")


def _check_route(message: policy.Route) -> None:
    if not message.model:
        raise PolicyError(f"{message.id!r}: model is empty")
    _check_limits(message, "route")


def _check_limits(message: policy.Organisation | policy.Key | policy.Route, holder: HolderKind) -> None:
    """Refuses limits that this version cannot enforce, together with their object: serving without them would be
    worse, and the operator sees the NACK.
    """
    try:
        limits(message.limits, holder, message.id, "")
    except LimitError as error:
        raise PolicyError(f"{message.id!r}: limits: {error}") from None
