"""Maps exceptions to gRPC statuses, in one place."""

from __future__ import annotations

import grpc
import structlog

from xds_server import errors
from xds_server.accounts.errors import ForbiddenError, ProviderError, TooManyGuessesError

_CODES: tuple[tuple[type[errors.XdsServerError], grpc.StatusCode], ...] = (
    (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.JoinTokenError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.InvalidFieldError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.CsrError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NoTunnelListenError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (errors.StaleWriteError, grpc.StatusCode.ABORTED),
    (errors.InUseError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.GraceTimeError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ManagedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.SecretKeyError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.SchemaError, grpc.StatusCode.FAILED_PRECONDITION),
    # Not UNAVAILABLE: the condition does not pass by itself, and callers should see the text.
    (errors.DatabaseReplacedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.DatabaseUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (errors.ProtocolVersionError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.SupersededError, grpc.StatusCode.ABORTED),
    (errors.TooManyAttemptsError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooManyGuessesError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ProviderError, grpc.StatusCode.UNAVAILABLE),
    (ForbiddenError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.SilentError, grpc.StatusCode.DEADLINE_EXCEEDED),
)

#: Bytes of a message: a gRPC status travels in HTTP/2 headers, of which peers accept 8 KiB.
_MESSAGE_BYTES = 4000

_log = structlog.get_logger(__name__)


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Returns the status and its message. An unforeseen error is logged, and its text is not sent."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, _bounded(str(error))
    _log.error("admin.unexpected_error", exc_info=error)
    return grpc.StatusCode.INTERNAL, f"internal error ({type(error).__name__}); the control plane's log has more"


def _bounded(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= _MESSAGE_BYTES:
        return message
    return encoded[:_MESSAGE_BYTES].decode(errors="ignore") + " …"
