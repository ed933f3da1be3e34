"""Maps methods and paths to calls, by `google.api.http` of the service's descriptors.

Only what the Admin API uses is supported: one binding for a method, variables of one segment, `body: "*"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import unquote

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.message import Message

#: Protobuf has two implementations of these types, and its stubs know only parts of the second.
ServiceDescriptor: TypeAlias = Any
MethodDescriptor: TypeAlias = Any

_VERBS = ("get", "put", "post", "delete", "patch")
_VARIABLE = re.compile(r"\{([a-z_.]+)\}")
#: An unescaped colon begins a custom verb, as in `keys/abc:rotate`.
_SEGMENT = "([^/:]+)"


@dataclass(frozen=True)
class Binding:
    """One call. `variables` are paths of fields, in the order of the template."""

    verb: str
    template: str
    has_body: bool
    method: MethodDescriptor

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The fields of the request that the path contains, in order."""
        return tuple(_VARIABLE.findall(self.template))

    @property
    def full_name(self) -> str:
        """Returns the name that gRPC uses: `/package.Service/Method`."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @cached_property
    def request(self) -> type[Message]:
        """The class of the method's request."""
        return message_factory.GetMessageClass(self.method.input_type)

    @cached_property
    def response(self) -> type[Message]:
        """The class of the method's response."""
        return message_factory.GetMessageClass(self.method.output_type)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression that matches the whole path; a variable is one segment."""
        literals = _VARIABLE.split(self.template)[::2]
        return re.compile(_SEGMENT.join(map(re.escape, literals)))


@dataclass(frozen=True, slots=True)
class PathMatch:
    """The bindings at a path, by verb, and the values of the path's variables, still percent-encoded."""

    bindings: dict[str, Binding]
    values: tuple[str, ...] = ()

    @property
    def allowed(self) -> list[str]:
        """Returns the methods for the header `allow`."""
        head = ["HEAD"] if "GET" in self.bindings else []
        return sorted([*self.bindings, *head, "OPTIONS"])


class Table:
    """All bindings of some services. `others` are paths that other handlers serve to GET and HEAD."""

    def __init__(self, services: Sequence[ServiceDescriptor], others: Sequence[str] = ()) -> None:
        self.bindings = tuple(each for service in services for each in _bindings(service))
        self._others = frozenset(others)
        self._paths: dict[str, dict[str, Binding]] = {}
        for each in self.bindings:
            self._paths.setdefault(_VARIABLE.sub("{}", each.template), {})[each.verb] = each

    def find(self, path: str) -> PathMatch | None:
        """Returns the match of a path; None if nothing is served there with any method."""
        if path in self._others:
            return PathMatch({})
        for of_path in self._paths.values():
            pattern = next(iter(of_path.values())).pattern
            match = pattern.fullmatch(path)
            if match is not None:
                return PathMatch(of_path, match.groups())
        return None

    def is_other(self, path: str) -> bool:
        """Returns whether the path is one of `others`."""
        return path in self._others

    def nearest(self, path: str) -> str:
        """Returns the path that was probably meant; empty if none looks like it."""
        trimmed = re.sub("/+", "/", unquote(path)).rstrip("/")
        if self.find(trimmed) is not None:
            return trimmed
        known = [*self._others, *(each.template for each in self.bindings)]
        return next(iter(get_close_matches(trimmed, known, n=1, cutoff=0.75)), "")


def _bindings(service: ServiceDescriptor) -> Iterator[Binding]:
    """Yields a service's bindings. Raises TypeError for a binding that this module does not support."""
    for method in service.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        if verb is None:
            continue  # gRPC only
        understood = verb in _VERBS and rule.body in {"", "*"} and not rule.additional_bindings
        if not understood or method.server_streaming or method.client_streaming:
            raise TypeError(f"{method.full_name}: a binding that is not supported")
        yield Binding(verb.upper(), getattr(rule, verb), rule.body == "*", method)
