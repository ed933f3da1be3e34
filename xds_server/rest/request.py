"""Turns a request's path, query and body into the message of its call."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

from google.protobuf.message import Message

from xds_server.admin.problems import Problems, checking
from xds_server.admin.values import quoted
from xds_server.rest import body, fields, values
from xds_server.rest.bindings import Binding

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def message(binding: Binding, path_values: tuple[str, ...], query: str, content: bytes) -> Message:
    """Returns the message of the call. Raises InvalidFieldError, MalformedBodyError."""
    found = binding.request()
    with checking() as problems:
        if binding.has_body:
            body.fill(found, body.parse(content), problems, binding.variables)
        elif content.strip():
            problems.note(f"{binding.verb} takes no body here; accepted: parameters of the query")
        _query(found, binding, query, problems)
        for path, raw in zip(binding.variables, path_values, strict=True):
            _variable(found, path, raw, problems)
    return found


def _query(message: Message, binding: Binding, query: str, problems: Problems) -> None:
    paths = dict(fields.leaves(message.DESCRIPTOR)) if not binding.has_body else {}
    accepted = [path for path in paths if path not in binding.variables]
    seen = set()
    for pair in filter(None, query.split("&")):
        if problems.are_enough:
            break
        raw_name, _, raw_value = pair.partition("=")
        name, value = _unquoted(raw_name, plus=True), _unquoted(raw_value, plus=True)
        path = fields.canonical(message.DESCRIPTOR, name) if name is not None else ""
        if path not in accepted:
            shown = raw_name if name is None else name
            problems.note(f"query: {fields.unknown(shown, accepted)}")
            continue
        here, field = Problems(path, problems.found), paths[path]
        if value is None:
            here.note("not UTF-8 in percent-encoding")
        elif path in seen and not field.is_repeated:
            here.note("given twice; accepted: once")
        elif (read := values.of_text(value, field, here)) is not None:
            owner, last = fields.holder(message, path)
            if field.is_repeated:
                getattr(owner, last).append(read)
            else:
                setattr(owner, last, read)
        seen.add(path)


def _variable(message: Message, path: str, raw: str, problems: Problems) -> None:
    value = _unquoted(raw)
    here = Problems(path, problems.found)
    owner, name = fields.holder(message, path)
    given = getattr(owner, name)
    if value is None:
        here.note("the path is not UTF-8 in percent-encoding")
    elif given not in {"", value}:
        here.note(f"{quoted(given)} is not the {quoted(value)} of the path; accepted: the same, or nothing")
    elif (read := values.of_text(value, owner.DESCRIPTOR.fields_by_name[name], here)) is not None:
        setattr(owner, name, read)


def _unquoted(text: str, *, plus: bool = False) -> str | None:
    """Decodes percent-encoded UTF-8; returns None for anything else."""
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return (unquote_plus if plus else unquote)(text, errors="strict")
    except UnicodeDecodeError:
        return None
