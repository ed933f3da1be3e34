"""The manager of each object: the API, or a file by its name; and what one manager leaves to the other.

An object with an empty `managed_by` is older than managers. The first file that describes it as it is, or the
first change through the API, becomes its manager.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

from xds_server.model import GATEWAY_SECTIONS, DesiredState, Gateway, Key, Limit, Provider, Route
from xds_server.store.records import ObjectType
from xds_server.store.views import View

V = TypeVar("V", Provider, Route, Key)

API = "api"
FILE_PREFIX = "file:"
#: The manager of a file that does not name itself.
DEFAULT_FILE = "file:trunkline"


def is_file(manager: str) -> bool:
    """Returns whether a manager is a file, and not the API."""
    return manager.startswith(FILE_PREFIX)


def shown(manager: str) -> str:
    """Returns the manager for messages: `the file "trunkline"`, `the API`."""
    if is_file(manager):
        return f'the file "{manager.removeprefix(FILE_PREFIX)}"'
    return "the API" if manager else "nobody yet"


def matches(manager: str, wanted: str) -> bool:
    """Returns whether the manager is the wanted one. `wanted` is a manager, or `file` for every file. An object
    that nobody has claimed counts as the API's.
    """
    return is_file(manager) if wanted == "file" else (manager or API) == wanted


def part_of(state: DesiredState, manager: str) -> DesiredState:
    """Returns what `manager` has (see `matches`), and the organisations in which it has a key or a limit."""

    def own(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        return tuple(each for each in limits if matches(each.managed_by, manager))

    def of_manager(objects: Mapping[str, V]) -> dict[str, V]:
        return {id_: each for id_, each in objects.items() if matches(each.managed_by, manager)}

    keys = of_manager(state.keys)
    with_keys = {each.organisation_id for each in keys.values()}
    return replace(
        state,
        providers=of_manager(state.providers),
        routes={id_: replace(each, limits=own(each.limits)) for id_, each in of_manager(state.routes).items()},
        keys={id_: replace(each, limits=own(each.limits)) for id_, each in keys.items()},
        organisations={
            id_: replace(each, limits=own(each.limits))
            for id_, each in state.organisations.items()
            if matches(each.managed_by, manager) or id_ in with_keys or own(each.limits)
        },
        gateway=_sections_of(state.gateway, manager),
    )


def _sections_of(gateway: Gateway, manager: str) -> Gateway:
    """Returns the gateway with the sections of `manager` alone."""
    own = [name for name in GATEWAY_SECTIONS if matches(gateway.manager_of(name), manager)]
    fields = {field: getattr(gateway, field) for name in own for field in GATEWAY_SECTIONS[name]}
    managers = {name: gateway.manager_of(name) for name in own}
    return replace(Gateway(version=gateway.version), **fields).with_managers(managers)


class ConflictReason(Enum):
    """Why an object stays as it is stored; see trunkline.admin.v1.Conflict."""

    MANAGED_ELSEWHERE = "managed-elsewhere"
    REMOVED = "removed"
    NOT_PRUNED = "not-pruned"
    IN_USE = "in-use"
    REFERS_TO_REMOVED = "refers-to-removed"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A difference between a file and the store that was left. `limit` is the part in question, None for the whole
    object.

    `before` and `after` are what is stored and what the file says, `changed` the fields in which they differ.
    """

    reason: ConflictReason
    object_type: ObjectType
    object_name: str
    managed_by: str
    limit: Limit | None = None
    before: View | None = None
    after: View | None = None
    changed: frozenset[str] = frozenset()
    detail: str = ""


@dataclass
class Management:
    """The manager for which a transaction writes. `take_over`: it claims what it changes from the present manager.

    A file collects conflicts and leaves the objects as they are; for the API a conflict is an error.
    """

    manager: str = API
    take_over: bool = False
    conflicts: list[Conflict] = field(default_factory=list)

    @property
    def is_file(self) -> bool:
        """True if a file manages the change, and not the API."""
        return is_file(self.manager)

    def claim(self, current: str, *, same: bool) -> str | None:
        """Returns the manager of an object after this one described it (`same`: as it is). None: a conflict."""
        if same and not self.is_file:
            return current
        if current == self.manager or self.take_over:
            return self.manager
        if same:
            return current or self.manager
        return self.manager if not current and not self.is_file else None
