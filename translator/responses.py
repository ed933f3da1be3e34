"""Remembers which target created a response of the Responses API: requests that refer to it go there and nowhere
else.

Envoy's module reports each response before its client can see the id. The origins are kept in memory and in a
file, to which lines are appended, so a translator that is killed and restarted knows them all. The file is not
synced to the disk; a power cut may lose the last ones.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger

from translator import log_context
from translator.errors import Refusal

#: Most responses that are remembered; the oldest of the organisation with the most is forgotten first.
MAX = 100_000
#: Seconds after which a response is forgotten: providers keep them for 30 days.
LONGEST = 30 * 86_400
#: The id as Envoy's module reads it from an answer (facts.h).
_NAMED = re.compile(rb"/v1/responses/((?!\.)[A-Za-z0-9_.=:+~-]{1,512})(/cancel|/input_items|)")
#: Path segments that occur in place of an id.
_OTHERS = frozenset({b"compact", b"input_tokens"})
_METHODS = {b"": ("GET", "HEAD", "DELETE"), b"/cancel": ("POST",), b"/input_items": ("GET", "HEAD")}
_SHOWN = 80


class ResponseOrigin(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The target that created a response, and when. `cluster` is Envoy's name of target and credential;
    `machine` is a node's id, or `-`; `at` is Unix seconds.
    """

    id: str
    organisation: str
    route: str
    model: str
    cluster: str
    machine: str
    at: int


_decode = msgspec.json.Decoder(ResponseOrigin).decode


class Responses:
    """The known responses. `clock` gives Unix seconds."""

    def __init__(self, path: Path, log: FilteringBoundLogger, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._log = log
        self._clock = clock
        #: By organisation and id, oldest first: a target chooses the ids of its responses, and might choose an id
        #: of another organisation's response.
        self._origins: dict[str, dict[str, ResponseOrigin]] = {}
        self._number = 0
        self._lines = 0
        self._load()
        self._file = self._opened()

    def response_created(self, text: str) -> None:
        """Takes lines of the response's id, the machine, the cluster, and the log context."""
        response_id, machine, cluster, context = text.split("\n", 3)
        reservation = log_context.read(context)
        if reservation is None:
            return
        now = int(self._clock())
        origin = ResponseOrigin(
            response_id,
            reservation.organisation,
            reservation.route,
            reservation.model,
            cluster,
            machine or "-",
            now,
        )
        self._remember(origin)
        self._append(origin)

    def find(self, organisation: str, response_id: str) -> ResponseOrigin:
        """Returns where the response was created.

        Raises:
            Refusal: 404 if it is unknown here, or belongs to another organisation.
        """
        origin = self._origins.get(organisation, {}).get(response_id)
        if origin is None or self._clock() - origin.at > LONGEST:
            raise not_found(response_id)
        return origin

    def close(self) -> None:
        os.close(self._file)

    def _remember(self, origin: ResponseOrigin) -> None:
        """Remembers an origin as the latest one. The organisation with the most responses makes room, so that none
        makes the others' responses forgotten.
        """
        own = self._origins.setdefault(origin.organisation, {})
        self._number += own.pop(origin.id, None) is None
        own[origin.id] = origin
        if self._number > MAX:
            largest = max(self._origins.values(), key=len)
            del largest[next(iter(largest))]
            self._number -= 1

    def _append(self, origin: ResponseOrigin) -> None:
        if self._lines >= 2 * MAX:
            self._rewrite()
        try:
            os.write(self._file, msgspec.json.encode(origin) + b"\n")
            self._lines += 1
        except OSError as error:
            self._log.error("response not written", path=str(self._path), reason=error.strerror)

    def _load(self) -> None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        if content and not content.endswith(b"\n"):
            with self._path.open("ab") as file:
                file.write(b"\n")
        oldest = self._clock() - LONGEST
        for line in content.splitlines():
            self._lines += 1
            try:
                origin = _decode(line)
            except msgspec.MsgspecError:
                continue  # an incomplete line: the process was killed
            if origin.at >= oldest:
                self._remember(origin)

    def _rewrite(self) -> None:
        """Drops the forgotten responses from the file."""
        fresh = self._path.with_suffix(".new")
        try:
            known = (origin for own in self._origins.values() for origin in own.values())
            fresh.write_bytes(b"".join(msgspec.json.encode(origin) + b"\n" for origin in known))
            fresh.replace(self._path)
        except OSError as error:
            self._log.error("responses not rewritten", path=str(self._path), reason=error.strerror)
            return
        os.close(self._file)
        self._file = self._opened()
        self._lines = self._number

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def named(method: str, path: bytes) -> str:
    """Returns the id of the response that a request is about; empty if its path names none.

    Raises:
        Refusal: 405 if the path does not accept the method.
    """
    found = _NAMED.fullmatch(path)
    if found is None or found[1] in _OTHERS:
        return ""
    methods = _METHODS[found[2]]
    if method not in methods:
        message = f"{method} is not served at this path: use {methods[0]}."
        raise Refusal(405, "method_not_allowed", message, headers={"allow": ", ".join(methods)})
    return found[1].decode()


def not_found(response_id: str, param: str | None = None) -> Refusal:
    """Returns the same 404 for an unknown response and for one of another organisation."""
    shown = response_id if len(response_id) <= _SHOWN else response_id[:_SHOWN] + "…"
    message = (
        f"The response '{shown}' was not found: this gateway does not know where it was created, or it was "
        "created too long ago. Send the conversation as `input`, without `previous_response_id`."
    )
    return Refusal(404, "response_not_found", message, param=param)
