"""The ledger's state on disk apart from the logs: the state of the limits, and how far the records were
shipped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from structlog.typing import FilteringBoundLogger
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from translator.errors import LedgerFileError
from translator.ledger import durable
from translator.ledger.segments import START, LogPosition


def load_checkpoint(path: Path, log: FilteringBoundLogger) -> LogPosition:
    """Returns the position before which everything is acknowledged.

    Without a usable file that is the beginning of the log: the control plane recognises records by their ids.
    """
    saved = _load(path, log)
    return LogPosition(*saved["position"]) if saved is not None else START


def encode_checkpoint(position: LogPosition) -> bytes:
    """Encodes a position for `load_checkpoint`."""
    return orjson.dumps({"position": list(position)})


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """The state at one moment: of everything before `journal` in the journal and before `log` in the log.

    `limits` are the parts of the limits' own state, including the outstanding reservations.
    """

    journal: LogPosition = START
    log: LogPosition = START
    limits: list[dict[str, Any]] = field(default_factory=list)
    prices: dict[str, Any] = field(default_factory=dict)
    #: Ids of expired reservations, oldest first, in case their lines appear later.
    late: list[str] = field(default_factory=list)
    #: Records of expired reservations that are not acknowledged.
    expired: list[ledger.UsageRecord] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, log: FilteringBoundLogger) -> LedgerSnapshot | None:
        """Returns the stored snapshot; None if there is no usable one."""
        saved = _load(path, log)
        if saved is None:
            return None
        try:
            expired = [ledger.UsageRecord.FromString(base64.b64decode(each)) for each in saved["expired"]]
        except (DecodeError, ValueError):
            log.error("expired reservations of the last run are lost")  # noqa: TRY400 - the reason is in the text
            expired = []
        return cls(
            LogPosition(*saved["journal"]),
            LogPosition(*saved["log"]),
            saved["limits"],
            saved["prices"],
            saved["late"],
            expired,
        )

    def encode(self, limits: Iterable[bytes]) -> bytes:
        """Encodes the snapshot with these parts, which `encode_part` has encoded, in place of its own."""
        return orjson.dumps(
            {
                "journal": list(self.journal),
                "log": list(self.log),
                "limits": [orjson.Fragment(each) for each in limits],
                "prices": self.prices,
                "late": self.late,
                "expired": [base64.b64encode(each.SerializeToString()).decode() for each in self.expired],
            }
        )


def encode_part(part: Mapping[str, Any]) -> bytes:
    """Encodes one part of the limits' state."""
    return orjson.dumps(part, default=tuple)


def _load(path: Path, log: FilteringBoundLogger) -> dict[str, Any] | None:
    try:
        return durable.load(path)
    except LedgerFileError as error:
        log.error("ignored", file=path.name, reason=str(error))  # noqa: TRY400 - the reason says it
        return None
