"""The last policy on disk, with which a restarted translator serves at once, even without a control plane.

The file has a line that names the format, the SHA-256 of the rest, and for each type the length (8 bytes, big
endian) and the bytes of a DeltaDiscoveryResponse. It contains hashes of keys, never keys; its mode is 0600
nevertheless.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from google.protobuf.message import DecodeError
from trunkline_proto.xds.v1.discovery_pb2 import DeltaDiscoveryResponse

from translator.errors import SnapshotError
from translator.replacing import replace

_FORMAT = b"trunkline policy snapshot 1\n"
_DIGEST = 32
_LENGTH = 8


def load(path: Path) -> list[DeltaDiscoveryResponse] | None:
    """Returns what was saved last; None if there is no file.

    Raises:
        SnapshotError: the file is damaged or cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"cannot be read: {error.strerror}") from error
    if not data.startswith(_FORMAT):
        raise SnapshotError("is not of a format that this version knows")
    start = len(_FORMAT) + _DIGEST
    content = data[start:]
    if hashlib.sha256(content).digest() != data[len(_FORMAT) : start]:
        raise SnapshotError("is damaged: its checksum does not match")
    responses = []
    position = 0
    while position < len(content):
        length = int.from_bytes(content[position : position + _LENGTH])
        position += _LENGTH + length
        try:
            responses.append(DeltaDiscoveryResponse.FromString(content[position - length : position]))
        except DecodeError:
            raise SnapshotError("is damaged: its content does not decode") from None
    return responses


def save(path: Path, responses: Iterable[DeltaDiscoveryResponse]) -> None:
    """Replaces the file, atomically and durably. Raises OSError."""
    content = b"".join(
        len(data).to_bytes(_LENGTH) + data for data in (response.SerializeToString() for response in responses)
    )
    replace(path, (_FORMAT, hashlib.sha256(content).digest(), content))


class PolicySnapshotWriter:
    """Saves `contents` `delay` seconds after the first change since the last save, and at the end."""

    def __init__(
        self,
        path: Path,
        contents: Callable[[], Iterable[DeltaDiscoveryResponse]],
        on_error: Callable[[OSError], None],
        delay: float = 0.5,
    ) -> None:
        self._path = path
        self._contents = contents
        self._on_error = on_error
        self._delay = delay
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Requests that the policy is stored soon."""
        self._changed.set()

    async def run(self) -> None:
        """Saves until it is cancelled; then call `flush`."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._delay)
            if not await self._save():
                # Try again after the delay: a full disk may have room then.
                self._changed.set()

    async def flush(self) -> None:
        """Saves what has not been saved."""
        if self._changed.is_set():
            await self._save()

    async def _save(self) -> bool:
        self._changed.clear()
        responses = list(self._contents())
        try:
            # In a thread, because encoding and fsync would delay requests.
            await asyncio.to_thread(save, self._path, responses)
        except OSError as error:
            self._on_error(error)
            return False
        return True
