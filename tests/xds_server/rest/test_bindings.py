"""Every binding in the descriptors: valid requests arrive complete, and errors name what is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from tests.parity.fields import is_output_only
from tests.xds_server.rest import examples
from tests.xds_server.rest.conftest import TABLE, Rest
from xds_server.accounts.permissions import RequiredRole, rule_of
from xds_server.rest import fields
from xds_server.rest.bindings import Binding
from xds_server.rest.server import SERVICES

BINDINGS = [pytest.param(each, id=each.method.name) for each in TABLE.bindings]
WITH_BODY = [pytest.param(each, id=each.method.name) for each in TABLE.bindings if each.has_body]
WITHOUT_BODY = [pytest.param(each, id=each.method.name) for each in TABLE.bindings if not each.has_body]
METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE", "PROPFIND"]


def test_every_unary_method_has_a_binding_and_every_path_is_found() -> None:
    methods = [method for service in SERVICES for method in service.methods]
    assert {each.method.name for each in TABLE.bindings} == {
        each.name for each in methods if not each.server_streaming
    }
    for each in TABLE.bindings:
        path, _, _ = examples.request(each)[0].partition("?")
        found = TABLE.find(path)
        assert found is not None
        assert found.bindings[each.verb] is each


@pytest.mark.parametrize("binding", BINDINGS)
async def test_every_field_arrives(rest: Rest, binding: Binding) -> None:
    path, body = examples.request(binding)
    answer = await rest(binding.verb, path, body)
    assert answer.status == 200, answer.json
    ((name, request),) = rest.admin.calls
    assert name == binding.method.name
    missing = [each for each, field in fields.leaves(request.DESCRIPTOR) if not _is_set(request, each, field)]
    assert missing == []
    if body is not None:
        assert request == json_format.ParseDict(body, binding.request())
    if binding.verb == "GET":
        rest.admin.calls.clear()
        head = await rest("HEAD", path)
        assert (head.status, head.json, head.headers["content-length"]) == (
            200, None, answer.headers["content-length"],
        )  # fmt: skip


def _is_set(message: Any, path: str, field: Any) -> bool:
    if is_output_only(field):
        return True
    owner, name = fields.holder(message, path)
    return bool(getattr(owner, name))


@pytest.mark.parametrize("binding", BINDINGS)
async def test_without_the_token_there_is_nothing(rest: Rest, binding: Binding) -> None:
    path, body = examples.request(binding)
    if rule_of(binding.full_name).need is RequiredRole.ANYBODY:
        assert (await rest(binding.verb, path, body, token=None, headers={"x-trunkline-csrf": "1"})).status == 200
        return
    for token in (None, "another-token-of-the-tests"):
        for method in {binding.verb, "OPTIONS", "PROPFIND"}:
            answer = await rest(method, path, body, token=token)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.error["code"] == "unauthenticated"
    assert rest.admin.calls == []


@pytest.mark.parametrize("binding", BINDINGS)
async def test_other_methods(rest: Rest, binding: Binding) -> None:
    path, _, _ = examples.request(binding)[0].partition("?")
    found = TABLE.find(path)
    assert found is not None
    allowed = (await rest("OPTIONS", path)).headers["allow"].split(", ")
    assert (binding.verb in allowed, "HEAD" in allowed) == (True, "GET" in allowed)
    for method in METHODS:
        if method not in allowed:
            answer = await rest(method, path)
            assert (answer.status, answer.headers["allow"]) == (405, ", ".join(allowed))
            assert method == "HEAD" or answer.error["code"] == "method_not_allowed"
    assert rest.admin.calls == []


@pytest.mark.parametrize("binding", BINDINGS)
async def test_other_paths_nearby(rest: Rest, binding: Binding) -> None:
    path, _, _ = examples.request(binding)[0].partition("?")
    for wrong in (f"{path}/", f"{path}/a/b", f"{path}:more", f"/x{path}", path.upper(), path.replace("admin", "")):
        answer = await rest(binding.verb, wrong)
        assert (answer.status, answer.error["code"]) == (404, "not_found"), wrong
    assert f"did you mean {path}?" in (await rest(binding.verb, f"{path}/")).error["message"]
    assert rest.admin.calls == []


@pytest.mark.parametrize("binding", BINDINGS)
async def test_unknown_parameters_of_a_query(rest: Rest, binding: Binding) -> None:
    path, body = examples.request(binding)
    separator = "&" if "?" in path else "?"
    for name in ("colour", "version.more", "%ff", "%", "."):
        answer = await rest(binding.verb, f"{path}{separator}{name}=1", body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_argument")
        assert "is not known" in answer.error["message"]
        known = [] if body is not None else [each for each, _ in fields.leaves(binding.request.DESCRIPTOR)]
        for each in known:
            assert each in binding.variables or each in answer.error["message"]
    assert rest.admin.calls == []


@pytest.mark.parametrize("binding", WITHOUT_BODY)
async def test_wrong_values_in_a_query(rest: Rest, binding: Binding) -> None:
    path, _, _ = examples.request(binding)[0].partition("?")
    for name, field in fields.leaves(binding.request.DESCRIPTOR):
        if name in binding.variables:
            continue
        wrong = (
            ["%00", "%ff"]
            if field.type == FieldDescriptor.TYPE_STRING
            else ["", "colour", "1.5", "99999999999999999999"]
        )
        for each in wrong:
            answer = await rest(binding.verb, f"{path}?{name}={each}")
            assert (answer.status, answer.error["param"]) == (400, name)
        if field.enum_type is not None:
            for member in field.enum_type.values[1:]:
                assert member.name in answer.error["message"]
        if not field.is_repeated:
            value = examples.value(field)
            text = "true" if value is True else value
            answer = await rest(binding.verb, f"{path}?{name}={text}&{name}={text}")
            assert answer.error["message"] == f"{name}: given twice; accepted: once"
    assert (await rest(binding.verb, path, {})).status == 400
    assert rest.admin.calls == []


@pytest.mark.slow
@pytest.mark.parametrize("binding", WITH_BODY)
async def test_wrong_types_in_a_body(rest: Rest, binding: Binding) -> None:
    path, right = examples.request(binding)
    assert right is not None
    for where, field, _, _ in list(examples.places(right, binding.request.DESCRIPTOR)):
        for wrong in _wrong(field):
            body = copy.deepcopy(right)
            _put(body, where, wrong)
            answer = await rest(binding.verb, path, body)
            assert answer.status == 400, (where, wrong)
            assert answer.error["param"] == where + (
                "[0]" if isinstance(wrong, list) and field.is_repeated else ""
            )
            assert "accepted: " in answer.error["message"]
            if field.enum_type is not None:
                for member in field.enum_type.values[1:]:
                    assert isinstance(wrong, dict) or member.name in answer.error["message"]
            assert "sk-secret" not in answer.error["message"] or field.enum_type is not None
    assert rest.admin.calls == []


def _wrong(field: Any) -> list[Any]:
    if field.is_repeated:
        return [{}, "sk-secret", 5]
    if field.message_type is not None:
        return [[], "sk-secret", 5, True]
    if field.enum_type is not None:
        return ["sk-secret", 99, True, {}]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return ["true", 1, {}]
    if field.type == FieldDescriptor.TYPE_STRING:
        return [5, True, {}, [], "a\0b", "\ud800"]
    return ["sk-secret", 1.5, True, 2**64, {}]


@pytest.mark.slow
@pytest.mark.parametrize("binding", WITH_BODY)
async def test_unknown_missing_and_repeated_members(rest: Rest, binding: Binding) -> None:
    path, right = examples.request(binding)
    assert right is not None
    objects = [("", binding.request.DESCRIPTOR)] + [
        (where + ("[0]" if field.is_repeated else ""), field.message_type)
        for where, field, _, _ in examples.places(right, binding.request.DESCRIPTOR)
        if field.message_type is not None
    ]
    for where, descriptor in objects:
        body = copy.deepcopy(right)
        _put(body, f"{where}.colour" if where else "colour", 1)
        answer = await rest(binding.verb, path, body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_argument")
        assert '"colour" is not known' in answer.error["message"]
        for field in descriptor.fields:
            assert field.name in answer.error["message"]
    for where, field, _, _ in examples.places(right, binding.request.DESCRIPTOR):
        if not fields.is_required(field) or where in binding.variables:
            continue
        for absent in ("missing", None):
            body = copy.deepcopy(right)
            _put(body, where, absent, remove=absent is not None)
            answer = await rest(binding.verb, path, body)
            assert (answer.status, answer.error["message"]) == (400, f"{where}: missing")
    name = next(iter(right))
    twice = b'{"%s": 1, "%s": 1}' % (name.encode(), name.encode())
    assert f"{name}: given twice" in (await rest(binding.verb, path, twice)).error["message"]
    assert rest.admin.calls == []


def _put(body: Any, where: str, value: Any, *, remove: bool = False) -> None:
    *inner, last = where.replace("]", "").replace("[", ".").split(".")
    for each in inner:
        body = body[int(each)] if each.isdigit() else body[each]
    if remove:
        del body[last]
    else:
        body[last] = value


@pytest.mark.parametrize("binding", WITH_BODY)
async def test_the_path_and_the_body_agree(rest: Rest, binding: Binding) -> None:
    path, right = examples.request(binding)
    assert right is not None
    for variable in binding.variables:
        body = copy.deepcopy(right)
        _put(body, variable, "another")
        answer = await rest(binding.verb, path, body)
        assert (answer.status, answer.error["param"]) == (400, variable)
        assert rest.admin.calls == []
        _put(body, variable, "", remove=True)
        assert (await rest(binding.verb, path, body)).status == 200
        assert rest.admin.calls.pop()[1] == json_format.ParseDict(right, binding.request())
