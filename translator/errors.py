"""Everything that can go wrong in the translator, and how it is told.

TranslatorError
├── Refusal                 the client's request is refused; carries the whole answer
│   └── NoPlace             a limit on concurrency refuses it: another moment may have a place
├── MalformedHttpError      what came over the socket is not acceptable HTTP/1.1
├── MalformedFrameError     what came over an upgraded connection is not its protocol
├── ReadingError            a process that reads bodies cannot be used
├── PolicyError             a policy response of the control plane is refused (NACK)
├── SnapshotError           the stored policy cannot be used
├── LedgerFileError         a stored position or state of the ledger cannot be used
├── LimitError              a limit cannot be kept here, or its stored state cannot be used
└── SettingsError           the command line asks for something that cannot work
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from translator.http.message import Response

#: Seconds that OpenAI's clients wait if `retry-after` says so. Asked to wait longer, they try again at once.
LONGEST_WAIT = 60
#: Without `retry-after`, these are worth another attempt all the same.
_PASSING = frozenset({408, 425})


class TranslatorError(Exception):
    """Base of all errors raised here."""


class Refusal(TranslatorError):  # noqa: N818 - it is an answer, and reads as one
    """A request that goes no further: what the client is told, in OpenAI's error shape.

    `message` goes to the client, never to a log; it must not hold a key.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.param = param
        self.headers = headers or {}

    def response(self) -> Response:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return Response.json(self.status, orjson.dumps({"error": error}), {**self.headers, **self._advice()})

    def _advice(self) -> dict[str, str]:
        """Headers by which OpenAI's clients decide whether and when to try again. A failure of the gateway itself
        (500) leaves that to them.
        """
        after = self.headers.get("retry-after")
        if after is None:
            if self.status == 500:
                return {}
            return {"x-should-retry": "true" if self.status in _PASSING else "false"}
        milliseconds = self.headers.get("retry-after-ms", f"{after}000")
        return {
            "retry-after-ms": milliseconds,
            "x-should-retry": "true" if int(after) <= LONGEST_WAIT else "false",
        }


class NoPlace(Refusal):
    """The limits `limit_ids` on concurrency are reached, of which one has to have a place. They are a route's, an
    organisation's, a key's, or those of machines: `holder`.
    """

    limit_ids: Sequence[str] = ()
    holder = ""


def policy_unavailable() -> Refusal:
    """503: a failure of this service, so that the client tries again instead of giving up a key that is valid."""
    message = "The gateway does not hold its whole policy yet. Send the request again."
    again = {"retry-after": "1"}
    return Refusal(503, "policy_unavailable", message, kind="server_error", headers=again)


class MalformedHttpError(TranslatorError):
    """The connection cannot go on after this: `status` is answered and it is closed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> Response:
        refusal = Refusal(self.status, self.code, str(self), headers={"connection": "close"})
        return refusal.response()


class MalformedFrameError(TranslatorError):
    """The connection cannot go on after this; the text says what is wrong, and repeats nothing of it."""


class ReadingError(TranslatorError):
    """A process that reads bodies does not start; the text says what is wrong, and repeats nothing of a body."""


class PolicyError(TranslatorError):
    """A response of the control plane that is refused as a whole; the text becomes the NACK's reason."""


class SnapshotError(TranslatorError):
    """The stored policy is damaged, or of a format this version does not know."""


class LedgerFileError(TranslatorError):
    """A checkpoint or snapshot of the ledger is damaged, or of a format this version does not know."""


class LimitError(TranslatorError):
    """A limit's window or time zone is not known here, or the stored state of limits is damaged."""


class SettingsError(TranslatorError):
    """Names the option and what would be accepted."""
