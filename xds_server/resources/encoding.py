"""Short forms for the generated Envoy classes.

betterproto2 validates on every serialisation, so builders call these once per distinct input and keep the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from envoy_data_plane.envoy.config.core.v3 import Address, Metadata, Pipe, SocketAddress, TypedExtensionConfig
from envoy_data_plane.google.protobuf import Any, Struct, Value

TYPE_PREFIX = "type.googleapis.com/"


class Message(Protocol):
    """A generated message."""

    def __bytes__(self) -> bytes: ...


def pack(type_name: str, message: Message) -> Any:
    """Packs `message` into an Any; `type_name` is the full name, e.g. `envoy.config.route.v3.Route`."""
    return Any(type_url=TYPE_PREFIX + type_name, value=bytes(message))


def extension(name: str, type_name: str, message: Message) -> TypedExtensionConfig:
    """Returns a named extension with its configuration."""
    return TypedExtensionConfig(name=name, typed_config=pack(type_name, message))


def tcp(host: str, port: int) -> Address:
    """Encodes the address of a TCP listener or endpoint."""
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def pipe(path: str) -> Address:
    """Encodes the address of a UNIX socket."""
    return Address(pipe=Pipe(path=path))


def metadata(namespace: str, values: Mapping[str, str]) -> Metadata:
    """Returns endpoint metadata of strings under one namespace."""
    fields = {key: Value(string_value=value) for key, value in values.items()}
    return Metadata(filter_metadata={namespace: Struct(fields=fields)})
