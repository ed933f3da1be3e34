"""Maps the control plane's messages about a document to the lines of its file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trunkline.config import objects, units
from trunkline.config.mapping import FieldPair, Mapping
from trunkline.config.positions import Document, Path

_STEP = re.compile(r"([a-z_0-9]+)(?:\[(\d+)\])?")
#: `routes[0].targets[1].provider: no provider …`
_FIELD = re.compile(
    r"((?:(?:providers|routes|organisations)\[\d+\]|gateway\.(?=cors|defaults|cache|alerts|accounts|oidc|jwt))"
    r"[a-z_0-9.\[\]]*): (.*)",
    re.DOTALL,
)
#: `gateway.defaults[0].model`
_DEFAULT = re.compile(r"gateway\.defaults\[(\d+)\]")
#: `key "acme/ci": the value given is in use …`
_OBJECT = re.compile(r'(provider|route|organisation|key) "([^"]+)"')
_DURATIONS = re.compile(r"\b([\d,]+) to ([\d,]+) (milliseconds|seconds)\b")
_FACTORS = {"milliseconds": 1, "seconds": 1000}

_MAPPINGS: dict[str, Any] = {
    "providers": objects.PROVIDER,
    "routes": objects.ROUTE,
    "organisations": objects.ORGANISATION,
    "keys": objects.KEY,
    "cors": objects.CORS,
    "cache": objects.SHARED_CACHE,
    "alerts": objects.ALERTING,
    "accounts": objects.ACCOUNTS,
    "oidc": objects.IDENTITY_PROVIDER,
    "jwt": objects.JWT_ISSUER,
}
#: Fields of messages with other names in the file.
_NAMES = {"per_seconds": "per", "calendar": "per", "clear_credentials": "credentials"}


def located(said: str, document: Document, name: str) -> str:
    """Rewrites every line of `said` that is about the document as `name:LINE: path: problem`; keeps other
    lines.
    """
    return "\n".join(_line(each, document, name) for each in said.split("\n"))


def _line(said: str, document: Document, name: str) -> str:
    field = _FIELD.fullmatch(said)
    if field is not None:
        path = _default(field[1], document) or _in_file(field[1].removeprefix("gateway."))
        return f"{name}:{document.line(path)}: {_written(path)}: {_in_units(field[2])}"
    named = _OBJECT.search(said)
    found = _find(document.value, named[1], named[2]) if named is not None else None
    return f"{name}:{document.line(found)}: {said}" if found is not None else said


def _default(path: str, document: Document) -> Path | None:
    """Translates the position of a default model in the message's list to its endpoint in the file."""
    index = _DEFAULT.match(path)
    return ("defaults", list(document.value["defaults"])[int(index[1])]) if index is not None else None


def _in_file(path: str) -> Path:
    """`routes[0].timeouts.first_byte_ms` → routes, 0, timeouts, first_byte."""
    found: list[str | int] = []
    mapping: Any = None
    for step, index in _STEP.findall(path):
        if not found or step in {"keys", "limits"}:
            names: tuple[str, ...] = (step,)
            mapping = _MAPPINGS.get(step)
        else:
            names, mapping = _field(mapping, step)
        found += names
        if index and names:
            found.append(int(index))
    return tuple(found)


def _field(mapping: Any, name: str) -> tuple[tuple[str, ...], Any]:
    """Returns a message field's path in the file, and the mapping of its content."""
    if name == "rates":  # a tier's rates are next to its other fields in the file
        return (), None
    fields: list[FieldPair] = mapping.fields if isinstance(mapping, Mapping) else []
    for field in fields:
        if field.name == name:
            return field.path, mapping.part(field)
    return (_NAMES.get(name, name),), None


def _written(path: Path) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".")


def _in_units(problem: str) -> str:
    """Writes durations in the file's notation."""

    def duration(match: re.Match[str]) -> str:
        least, most = (int(text.replace(",", "")) * _FACTORS[match[3]] for text in (match[1], match[2]))
        return f"{units.duration(least)} to {units.duration(most)}"

    unit = _DURATIONS.search(problem)
    if unit is not None:
        value = re.match(r"\d+(?= is out of range)", problem)
        if value is not None:
            problem = units.duration(int(value[0]) * _FACTORS[unit[3]]) + problem[value.end() :]
    return _DURATIONS.sub(duration, problem)


def _find(value: Any, kind: str, name: str) -> Path | None:
    """Returns the path of an object in the file."""
    return next((path for path, called in _named(value, kind) if called == name), None)


def _named(value: Any, kind: str) -> Iterator[tuple[Path, str]]:
    section = "organisations" if kind == "key" else f"{kind}s"
    for index, each in enumerate(value.get(section) or ()):
        if kind == "key":
            for inner, key in enumerate(each.get("keys") or ()):
                yield (section, index, "keys", inner), f"{each.get('name')}/{key.get('name')}"
        elif kind == "route":
            owner = f"{each['organisation']}/" if "organisation" in each else ""
            yield (section, index), f"{owner}{each.get('model')}"
        else:
            yield (section, index), str(each.get("name"))
