"""Everything that can go wrong in the translator, and how it is reported.

TranslatorError
├── Refusal                 the client's request is refused; carries the whole answer
│   └── NoPlace             a concurrency limit refuses it; it may have a place later
├── MalformedHttpError      the socket received something that is not acceptable HTTP/1.1
├── MalformedFrameError     an upgraded connection received something that is not its protocol
├── ReadingError            a process that reads bodies cannot be used
├── PolicyError             a policy response of the control plane is refused (NACK)
├── SnapshotError           the stored policy cannot be used
├── LedgerFileError         a stored position or state of the ledger cannot be used
├── LimitError              a limit cannot be enforced here, or its stored state cannot be used
└── SettingsError           the command line asks for something that cannot work
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from translator.message import Response

#: Most seconds that OpenAI's clients wait by `retry-after`; if it is longer, they try again at once.
LONGEST_WAIT = 60
#: Most characters of a model in a refusal.
_SHOWN_MODEL = 200
#: Statuses that are worth another attempt even without `retry-after`.
_PASSING = frozenset({408, 425})


class TranslatorError(Exception):
    """Base of all errors raised here."""


class Refusal(TranslatorError):  # noqa: N818 - it is an answer and is named like one
    """A refused request: what the client gets, in OpenAI's error format.

    `message` goes to the client and never to a log; it must not contain a key.
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
        """Returns the refusal in OpenAI's error format, with the headers that its clients act on."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return Response.json(self.status, orjson.dumps({"error": error}), {**self.headers, **self._advice()})

    def _advice(self) -> dict[str, str]:
        """Returns the headers by which OpenAI's clients decide whether and when to try again; none for a failure
        of the gateway itself (500).
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
    """The concurrency limits `limit_ids`, one of which must have a place for the request, are reached.

    `holder` says whose limits they are: a route's, an organisation's, a key's or those of machines. `alone`: it is
    the limit of an end user or a tag, so that other requests of the same key may have a place.
    """

    limit_ids: Sequence[str] = ()
    holder = ""
    alone = False


def model_not_found(model: str) -> Refusal:
    """Returns the same 404 for a model that does not exist and for one that the key may not use."""
    shown = model if len(model) <= _SHOWN_MODEL else model[:_SHOWN_MODEL] + "…"
    message = (
        f"The model '{shown}' does not exist or this API key may not use it. "
        "GET /v1/models lists the models that it may use."
    )
    return Refusal(404, "model_not_found", message, param="model")


def policy_unavailable() -> Refusal:
    """Returns a 503 rather than a 401, so that the client tries again instead of giving up a key that may be
    valid.
    """
    message = "The gateway has not received its complete policy yet. Send the request again."
    again = {"retry-after": "1"}
    return Refusal(503, "policy_unavailable", message, kind="server_error", headers=again)


class MalformedHttpError(TranslatorError):
    """HTTP after which the connection cannot go on: `status` is answered and the connection is closed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> Response:
        """Returns the refusal after which the connection is closed."""
        refusal = Refusal(self.status, self.code, str(self), headers={"connection": "close"})
        return refusal.response()


def body_too_large(max_body: int) -> MalformedHttpError:
    """Returns the refusal of a body of more than `max_body` bytes."""
    message = f"The request body is larger than this gateway's limit of {max_body} bytes."
    return MalformedHttpError(413, "request_too_large", message)


class MalformedFrameError(TranslatorError):
    """A frame after which the connection cannot go on. The text says what is wrong without repeating any
    content.
    """


class ReadingError(TranslatorError):
    """A process that reads bodies does not start. The text says what is wrong without repeating any body."""


class PolicyError(TranslatorError):
    """A response of the control plane that is refused as a whole. The text becomes the NACK's reason."""


class SnapshotError(TranslatorError):
    """The stored policy is damaged, or of a format this version does not know."""


class LedgerFileError(TranslatorError):
    """A checkpoint or snapshot of the ledger is damaged, or of a format this version does not know."""


class LimitError(TranslatorError):
    """A limit's window or time zone is not known here, or the stored state of limits is damaged."""


class SettingsError(TranslatorError):
    """An option that cannot work. The text names it and says what is accepted."""
