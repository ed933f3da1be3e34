"""Stores an attack in every text of the Admin API that accepts one, field by field of the protos."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

from google.api import field_behavior_pb2
from trunkline_proto.admin.v1 import admin_pb2

from tests.console.attacks.answers import TABLE
from tests.console.attacks.conftest import Answer, Caller

#: `{0}` is the number of the text. Short, because many texts have a bound.
ATTACK = "\"'><x-owned id=o{0}><img src=x onerror=owned()>"
METHODS = {each.name: each for each in admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods}
BINDINGS = {each.method.name: each for each in TABLE.bindings}
_PATH = re.compile(r"([a-z_][a-z0-9_.\[\]]*): ")
#: Makes a request; the number is for what must be unique.
Base: TypeAlias = Callable[[int], Mapping[str, Any]]
#: Answers to a text that its field does not accept.
_REFUSED = frozenset({400, 401, 403, 404, 409})


@dataclass
class Storing:
    """The outcome, by `Method.field`: `accepted` with the number of the attack, and `refused`, where the gateway
    says of this field that it does not accept it. `unfilled` is what it said otherwise.
    """

    accepted: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unfilled: dict[str, str] = field(default_factory=dict)
    _last: int = 99

    def store(self, caller: Caller, method: str, *bases: Base) -> None:
        """Makes the call for each of `bases`, whose requests are accepted as they are, with an attack in every
        text that none of those before has stored.
        """
        for base in bases:
            filled = {
                path: self._attack()
                for path in texts(METHODS[method].input_type)
                if f"{method}.{plain(path)}" not in self.accepted.keys() | self.refused
            }
            self._store(caller, method, base, filled)

    def _store(self, caller: Caller, method: str, base: Base, filled: dict[str, int]) -> None:
        """Tries all texts at once, without those that the gateway names, until it accepts the others; then each of
        those that it does not name.
        """
        while filled:
            answer = call(caller, method, _with(base(self._attack()), filled))
            if answer.status == 200:
                self._accept(method, filled)
                return
            assert answer.status in _REFUSED, (method, answer.json)
            wrong = [plain(found[1]) for line in answer.message.splitlines() if (found := _PATH.match(line))]
            named = [path for path in filled if any(_is_meant(path, each) for each in wrong)]
            for path in named:
                del filled[path]
                self.refused.add(f"{method}.{plain(path)}")
            if not named:
                break
        for path, number in filled.items():
            answer = call(caller, method, _with(base(self._attack()), {path: number}))
            if answer.status == 200:
                self._accept(method, {path: number})
            elif (found := _PATH.match(answer.message)) and _is_meant(path, plain(found[1])):
                self.refused.add(f"{method}.{plain(path)}")
            else:
                self.unfilled[f"{method}.{plain(path)}"] = answer.message

    def _accept(self, method: str, filled: Mapping[str, int]) -> None:
        for path, number in filled.items():
            name = f"{method}.{plain(path)}"
            self.accepted[name] = number
            self.refused.discard(name)
            self.unfilled.pop(name, None)

    def _attack(self) -> int:
        self._last += 1
        return self._last


def call(caller: Caller, method: str, request: Mapping[str, Any]) -> Answer:
    """Calls a method over REST with its whole request."""
    binding = BINDINGS[method]
    rest: dict[str, Any] = json.loads(json.dumps(request))
    path = re.sub(
        r"\{([a-z_.]+)\}", lambda found: quote(_take(rest, found[1].split(".")), safe=""), binding.template
    )
    return caller(binding.verb, path, rest if binding.has_body else None)


def texts(descriptor: Any, before: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the paths of all texts that a client may give, with `[]` behind lists."""
    for each in descriptor.fields:
        if field_behavior_pb2.OUTPUT_ONLY in each.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            continue
        inner, name = each.message_type, f"{before}{each.name}{'[]' if each.is_repeated else ''}"
        if inner is not None and inner.full_name not in above:
            yield from texts(inner, f"{name}.", (*above, inner.full_name))
        elif inner is None and each.type == each.TYPE_STRING:
            yield name


def plain(path: str) -> str:
    """Returns a path without its lists' brackets."""
    return re.sub(r"\[\d*\]", "", path)


def _is_meant(path: str, named: str) -> bool:
    """Returns whether a problem's path is that of a field. A document's leave out the messages between."""
    parts, rest = named.split("."), iter(plain(path).split("."))
    return plain(path).endswith(parts[-1]) and all(each in rest for each in parts)


def _with(base: Mapping[str, Any], filled: Mapping[str, int]) -> dict[str, Any]:
    """Returns `base` with attacks in it, in the first entries of lists."""
    request: dict[str, Any] = json.loads(json.dumps(base))  # no part of it stands in two places
    for path, number in filled.items():
        *inner, name = path.split(".")
        at: Any = request
        for each in inner:
            at = at.setdefault(plain(each), [{}] if each.endswith("[]") else {})
            at = at[0] if each.endswith("[]") else at
        text = ATTACK.format(number)
        at[plain(name)] = [text] if name.endswith("[]") else text
    return request


def _take(request: dict[str, Any], path: list[str]) -> str:
    at: Any = request
    for each in path[:-1]:
        at = at[each]
    return str(at.pop(path[-1]))
