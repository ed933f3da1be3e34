"""The pieces of the protobuf wire format from which resources and responses are assembled.

Fields concatenate: those of one message may be written in any order and in separate pieces. Bytes that all clients
share can therefore be followed by the few that belong to one of them.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache


class WireType(IntEnum):
    """The encoding of a field's value. None of our messages uses the two group types."""

    VARINT = 0
    I64 = 1
    LENGTH_DELIMITED = 2
    I32 = 5


_WIRE_TYPES = {int(each): each for each in WireType}
_FIXED_BYTES = {WireType.I64: 8, WireType.I32: 4}


@dataclass(frozen=True, slots=True)
class WireField:
    """One field as read: `value` without tag and length, `encoded` with both."""

    number: int
    wire_type: WireType
    value: bytes
    encoded: bytes


def varint(value: int) -> bytes:
    """Encodes `value` in base 128, least significant group first. `value` must not be negative."""
    if value < 0:
        raise ValueError(f"a length or tag cannot be negative: {value}")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@cache
def tag(field: int, wire_type: WireType) -> bytes:
    """Returns the tag that precedes a field's value."""
    return varint(field << 3 | wire_type)


def length_delimited(field: int, value: bytes) -> bytes:
    """Encodes a bytes or embedded message field: tag, length in bytes, value."""
    return b"".join((tag(field, WireType.LENGTH_DELIMITED), varint(len(value)), value))


def text(field: int, value: str) -> bytes:
    """Encodes a string field. The empty string is proto3's default, so it gives no bytes."""
    return length_delimited(field, value.encode()) if value else b""


def fields(message: bytes) -> Iterator[WireField]:
    """Yields the fields of an encoded message in their order. Raises ValueError if `message` is not one."""
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        wire_type = _WIRE_TYPES.get(key & 7)
        if wire_type is None or not key >> 3:
            raise ValueError(f"not a protobuf message: no field begins at byte {start}")
        begin = at
        if wire_type is WireType.VARINT:
            _, at = _read_varint(message, at)
        elif wire_type is WireType.LENGTH_DELIMITED:
            length, begin = _read_varint(message, at)
            at = begin + length
        else:
            at += _FIXED_BYTES[wire_type]
        if at > len(message):
            raise ValueError(f"not a protobuf message: it ends within the field at byte {start}")
        yield WireField(key >> 3, wire_type, message[begin:at], message[start:at])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("not a protobuf message: it ends within a varint")
