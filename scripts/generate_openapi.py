"""Generates the OpenAPI document of the Admin API from the .proto files: `xds_server/rest/openapi.json`.

The structure comes from the descriptors, as in the REST server. The descriptions are the comments of the .proto
files, which no generated module contains, so the document is committed.

With `--check` it only compares, and fails if the committed file differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.generate_proto import GENERATOR, PROTO
from scripts.generated import main
from scripts.locked_environment import ROOT, python_of
from xds_server.accounts.permissions import RequiredRole, rule_of
from xds_server.rest import fields
from xds_server.rest.bindings import Binding, Table
from xds_server.rest.server import SERVICES

DOCUMENT = ROOT / "xds_server" / "rest" / "openapi.json"
_TYPES: Mapping[int, Mapping[str, str]] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
}
_ABOUT = (
    "Everything that the command line and the console do. Answers leave out what has its default; numbers of 64 "
    "bits are strings. Send `Authorization: Bearer <token>`: a personal token, or the admin token."
)
_STATUSES = {
    "400": "A parameter or member is unknown, missing or not accepted; the message says what is.",
    "401": "There is no token, or another one.",
    "403": "The caller's role does not allow it.",
    "404": "There is no such object.",
    "409": "The name is taken, or the `version` is not the object's.",
    "503": "The control plane or its database does not answer.",
}


def document() -> dict[str, Any]:
    """Returns the document. Raises RuntimeError if protoc fails."""
    comments = _comments()
    table = Table(SERVICES)
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for each in sorted(table.bindings, key=lambda each: (each.template, each.verb)):
        paths.setdefault(each.template, {})[each.verb.lower()] = _operation(each, comments)
        for message in (each.method.input_type, each.method.output_type):
            _collect(message, comments, schemas)
    schemas["Error"] = _ERROR
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline's Admin API", "version": "1", "description": _ABOUT},
        "security": [{"token": []}],
        "tags": [{"name": name} for name in sorted({_tag(each) for each in table.bindings})],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                status: {"description": text, "content": _json({"$ref": "#/components/schemas/Error"})}
                for status, text in _STATUSES.items()
            },
            "schemas": dict(sorted(schemas.items())),
        },
    }


_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "One line for each problem."},
                "type": {"type": "string", "enum": ["invalid_request_error", "server_error"]},
                "param": {"type": ["string", "null"], "description": "Path of the first field that is wrong."},
                "code": {"type": "string"},
            },
        }
    },
}


def _comments() -> dict[str, str]:
    """Returns the comments of messages, fields, values and methods, by full name."""
    google_api = next(path for path in map(Path, sys.path) if (path / "google/api/annotations.proto").is_file())
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "descriptors"
        command: list[str | Path] = [python_of(GENERATOR), "-m", "grpc_tools.protoc", f"--proto_path={PROTO}"]
        command += [f"--proto_path={google_api}", "--include_source_info", f"--descriptor_set_out={out}", *sources]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"protoc failed with status {done.returncode}: {done.stderr}")
        files = FileDescriptorSet.FromString(out.read_bytes()).file
    return {name: text for file in files for name, text in _of_file(file)}


def _of_file(file: Any) -> Iterator[tuple[str, str]]:
    """Resolves a location's path of field numbers and positions, starting from the file."""
    for location in file.source_code_info.location:
        text = " ".join(line.strip() for line in location.leading_comments.splitlines()).strip()
        if not text:
            continue
        found, names, path = file, [file.package], list(location.path)
        while len(path) >= 2:
            number, position, *path = path
            field = found.DESCRIPTOR.fields_by_number[number]
            found = getattr(found, field.name)[position]
            names.append(found.name)
        if not path:
            yield ".".join(names), text


def _tag(binding: Binding) -> str:
    return str(binding.template.removeprefix("/admin/v1/").partition("/")[0].partition(":")[0])


def _operation(binding: Binding, comments: Mapping[str, str]) -> dict[str, Any]:
    need = rule_of(binding.method.name).need
    text = comments.get(binding.method.full_name, "")
    operation: dict[str, Any] = {
        "operationId": binding.method.name,
        "tags": [_tag(binding)],
        "summary": text.partition(". ")[0].rstrip("."),
        "description": f"{text} Needs: {need.value}.".strip(),
        "parameters": list(_parameters(binding, comments)),
        "responses": {
            "200": {"description": "Done.", "content": _json(_reference(binding.method.output_type))},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _STATUSES},
        },
    }
    if binding.has_body:
        operation["requestBody"] = {"required": True, "content": _json(_reference(binding.method.input_type))}
    if need is RequiredRole.ANYBODY:
        operation["security"] = []
    return operation


def _parameters(binding: Binding, comments: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for path, field in fields.leaves(binding.method.input_type):
        in_path = path in binding.variables
        if in_path or not binding.has_body:
            yield {
                "name": path,
                "in": "path" if in_path else "query",
                "required": in_path or fields.is_required(field),
                "description": comments.get(field.full_name, ""),
                "schema": _schema(field),
            }


def _collect(message: Any, comments: Mapping[str, str], into: dict[str, Any]) -> None:
    name = _name(message)
    if name in into:
        return
    into[name] = {
        "type": "object",
        "description": comments.get(message.full_name, ""),
        "properties": {
            each.name: {**_schema(each), "description": comments.get(each.full_name, "")}
            for each in message.fields
        },
    }
    required = [each.name for each in message.fields if fields.is_required(each)]
    if required:
        into[name]["required"] = required
    for each in message.fields:
        if each.message_type is not None:
            _collect(each.message_type, comments, into)


def _schema(field: Any) -> dict[str, Any]:
    if field.message_type is not None:
        one = _reference(field.message_type)
    elif field.enum_type is not None:
        one = {"type": "string", "enum": [each.name for each in field.enum_type.values]}
    else:
        one = dict(_TYPES[field.cpp_type])
    return {"type": "array", "items": one} if field.is_repeated else one


def _name(message: Any) -> str:
    return str(message.full_name.removeprefix(f"{message.file.package}.")).replace(".", "_")


def _reference(message: Any) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{_name(message)}"}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


if __name__ == "__main__":
    main(__doc__, {DOCUMENT: json.dumps(document(), indent=1, ensure_ascii=False) + "\n"})
