"""Every method over REST as every role, by the browser's session: refused as over gRPC, without any change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import json_format

from tests.xds_server.accounts.conftest import Gateway, serving
from tests.xds_server.accounts.people import town
from tests.xds_server.accounts.test_roles import ALLOWED, MACHINES, METHODS, PEOPLE, _request
from xds_server.store import AuditQuery, DatabaseUrl, Store


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    store = Store.open(DatabaseUrl.of_file(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        yield each
    store.close()


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)


def _required(message: Any) -> dict[str, Any]:
    """Fills every required field, because a call without one is answered before its caller is checked."""
    found: dict[str, Any] = {}
    for field in message.fields:
        if field_behavior_pb2.REQUIRED not in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            continue
        value: Any = _required(field.message_type) if field.message_type else "x"
        if field.enum_type or field.type in {field.TYPE_UINT64, field.TYPE_INT64, field.TYPE_UINT32}:
            value = 1
        found[field.name] = [value] if field.is_repeated else value
    return found


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {name: _merged(below[name], each) for name, each in above.items() if isinstance(below.get(name), dict)}
    return {**below, **above, **both}


def _over_rest(method: Any, request: Any) -> tuple[str, str, Any] | None:
    """Returns verb, path and body of a call; None if REST does not have the method."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    if verb is None:
        return None
    values = json_format.MessageToDict(request, preserving_proto_field_name=True)
    flat = dict(_flat(values))
    path = re.sub(r"\{([a-z_.]+)\}", lambda found: quote(flat.pop(found[1], "x"), safe=""), getattr(rule, verb))
    if rule.body:
        return verb.upper(), path, _merged(_required(method.input_type), values)
    return verb.upper(), f"{path}?{urlencode(flat)}" if flat and verb == "get" else path, None


@pytest.mark.slow
@pytest.mark.parametrize("person", [each for each in PEOPLE if each not in MACHINES])
async def test_each_method_as(person: str, gateway: Gateway) -> None:
    found = await town(gateway)
    browser = found.browsers.get(person, gateway.browser())
    tried = 0
    before, events = gateway.store.load().revision, len(gateway.store.audit_events(AuditQuery(limit=1_000)))
    for method in METHODS:
        call = _over_rest(method, _request(method, found))
        if call is None or person in ALLOWED.get(method.name, MACHINES):
            continue
        verb, path, body = call
        answer = await browser(verb, path, body)
        assert answer.status in ({401} if person == "nobody" else {401, 403, 404}), (method.name, answer.json)
        tried += 1
    assert tried > 20
    assert gateway.store.load().revision == before
    assert len(gateway.store.audit_events(AuditQuery(limit=1_000))) == events
