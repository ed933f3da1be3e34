"""The two pieces of the protobuf wire format that responses are assembled from.

Length-delimited fields concatenate: the fields of one message may be written in any order and in separate pieces,
so bytes shared by all clients can be followed by the few that belong to one of them.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """Base 128, least significant group first. `value` must not be negative."""
    if value < 0:
        raise ValueError(f"a length or tag cannot be negative: {value}")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def length_delimited(field: int, value: bytes) -> bytes:
    """A bytes or embedded message field: tag, length in bytes, value."""
    return b"".join((varint(field << 3 | _LENGTH_DELIMITED), varint(len(value)), value))


def text(field: int, value: str) -> bytes:
    """A string field. The empty string is proto3's default, so nothing is written for it."""
    return length_delimited(field, value.encode()) if value else b""
