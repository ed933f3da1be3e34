"""Decodes resources to plain values exactly: every field that is set, in packed messages too."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import betterproto2
from betterproto2 import Message
from envoy_data_plane.google.protobuf import Any as Packed, ListValue, NullValue, Struct, Value
from envoy_data_plane.message_pool import default_message_pool
from google.protobuf import json_format
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.protocol.snapshot import TYPE_PREFIX, Resource

_POLICY = "trunkline.policy.v1."
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n?", re.DOTALL)
#: Longer bytes that are not text are replaced by their number and hash.
_MAX_HEX = 32


class UnreadableError(ValueError):
    """Raised for a resource with bytes that its type does not explain."""


class Reader:
    """Reads resources. `names` replace the values that they stand for, such as random ids and secrets."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def resource(self, each: Resource) -> Any:
        """Returns the resource's fields by name. Raises UnreadableError."""
        kind = each.type_url.removeprefix(TYPE_PREFIX)
        if not kind.startswith(_POLICY):
            return self._unpacked(each.type_url, each.body)
        message = getattr(policy_pb2, kind.removeprefix(_POLICY)).FromString(each.body)
        if message.SerializeToString(deterministic=True) != each.body:
            raise UnreadableError(f"{each.name} has other bytes than its fields explain")
        return self._named(json_format.MessageToDict(message, preserving_proto_field_name=True))

    def text(self, value: str) -> str:
        """Returns a text with names in place of their values, and with the kind of a PEM in place of the PEM."""
        for before, after in self._names.items():
            value = value.replace(before, after)
        return _PEM.sub(lambda found: f"<PEM {found[1]}>", value)

    def _named(self, value: Any) -> Any:
        match value:
            case dict():
                return {key: self._named(each) for key, each in value.items()}
            case list():
                return [self._named(each) for each in value]
            case str():
                return self.text(value)
            case _:
                return value

    def _unpacked(self, type_url: str, body: bytes) -> Any:
        try:
            kind = default_message_pool.url_to_type[type_url]
        except KeyError:
            raise UnreadableError(f"nothing here knows the type {type_url}: import its module") from None
        return self._plain(kind.parse(body))

    def _plain(self, value: Any) -> Any:
        """Converts any value of a generated message."""
        match value:
            case Packed():
                inside = self._unpacked(value.type_url, value.value)
                fields = inside if isinstance(inside, dict) else {"value": inside}
                return {"@type": value.type_url.removeprefix(TYPE_PREFIX), **fields}
            case Struct():
                return self._plain(value.fields)
            case ListValue():
                return self._plain(value.values)
            case Value():
                return self._plain(betterproto2.which_one_of(value, "kind")[1])
            case Message():
                return self._fields(value)
            case NullValue():
                return None
            case betterproto2.Enum():
                return value.name
            case timedelta():
                return f"{value / timedelta(seconds=1):g}s"
            case datetime():
                return value.isoformat()
            case bytes():
                return self._bytes(value)
            case list():
                return [self._plain(each) for each in value]
            case dict():
                return dict(sorted((self.text(str(key)), self._plain(each)) for key, each in value.items()))
            case str():
                return self.text(value)
            case _:
                return value

    def _fields(self, message: Message) -> dict[str, Any]:
        """Returns the fields that are set, in the order of the type, without proto3 defaults."""
        if message._unknown_fields:
            raise UnreadableError(f"{type(message).__name__} has fields that the installed types do not know")
        names = [name for name in vars(type(message))["__dataclass_fields__"] if message.is_set(name)]
        return {name.rstrip("_"): self._plain(getattr(message, name)) for name in names}

    def _bytes(self, value: bytes) -> str:
        try:
            return self.text(value.decode())
        except UnicodeDecodeError:
            if len(value) <= _MAX_HEX:
                return value.hex()
            return f"<{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()[:16]}>"
