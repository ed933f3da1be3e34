"""The protocol between the translator and the processes that read bodies. Little-endian:

    ready   u32 0                                       once, when the process can read
    task    u8 endpoint, u32 bytes of the content-type, u32 bytes of the body, content-type, body
    result  u32 bytes that follow, msgpack of `Result`

msgpack instead of pickle: a process that reads untrusted bodies must not be trusted with this process.
"""

from __future__ import annotations

import struct

import msgspec

from translator.bodies.facts import BodyFacts
from translator.endpoints import ENDPOINTS, Endpoint
from translator.errors import Refusal

TASK = struct.Struct("<BII")
SIZE = struct.Struct("<I")
READY = SIZE.pack(0)
#: Most bytes of a result; its longest parts are names, which are cut.
LONGEST_RESULT = 65_536


class Result(msgspec.Struct, frozen=True, array_like=True):
    """Either `facts` or a refusal, with the CPU `seconds` that reading took. `last` says that the process ends."""

    facts: BodyFacts | None
    seconds: float = 0.0
    last: bool = False
    status: int = 0
    code: str = ""
    message: str = ""
    param: str | None = None

    @classmethod
    def of_refusal(cls, refusal: Refusal, seconds: float = 0.0) -> Result:
        """Returns the result of a body that is refused. Headers of the refusal are not carried."""
        return cls(None, seconds, False, refusal.status, refusal.code, refusal.message, refusal.param)

    def refusal(self) -> Refusal:
        """Returns the refusal that `of_refusal` was given."""
        return Refusal(self.status, self.code, self.message, param=self.param)


_NUMBERS = {endpoint: number for number, endpoint in enumerate(ENDPOINTS)}
_DECODER = msgspec.msgpack.Decoder(Result)


def task(endpoint: Endpoint, content_type: bytes, size: int) -> bytes:
    """Returns what precedes a body of `size` bytes."""
    return TASK.pack(_NUMBERS[endpoint], len(content_type), size) + content_type


def decode(data: bytes) -> Result:
    """Decodes a result. Raises ValueError."""
    return _DECODER.decode(data)


def encode(result: Result) -> bytes:
    """Returns the result preceded by its size."""
    data = msgspec.msgpack.encode(result)
    return SIZE.pack(len(data)) + data


def too_complex() -> Refusal:
    """Returns a 400 for a body that no process can read within its bounds."""
    message = "The request body takes too much time or memory to read: it has too many values."
    return Refusal(400, "body_too_complex", message)
