"""The errors that the control plane raises on purpose.

XdsServerError
├── InvalidFieldError          a request names a value that is not accepted
├── PastPriceError             a price would change what has been charged
├── UnauthenticatedError       no admin token, or the wrong one
├── ProtocolVersionError       a sidecar speaks a version of the node protocol that this control plane does not
├── SupersededError            a newer stream of the same node took over
├── TooManyAttemptsError       too many join tokens were refused recently
├── SilentError                a node's stream is open but sends nothing
├── ListenError                an address cannot be listened on
├── TlsFilesError              the files of the listeners' certificate cannot be used
├── CsrError                   a certificate signing request is refused
├── NoTunnelListenError        no node can join: the control plane has no tunnel listener
└── StoreError
    ├── NotFoundError          the object does not exist
    ├── AlreadyExistsError     an object of this name exists
    ├── StaleWriteError        the object changed since the writer read it
    ├── InUseError             another object depends on it
    ├── GraceTimeError         a rotation would leave a key with more than two secrets
    ├── ManagedError           a file manages the object that the API would change
    ├── JoinTokenError         a join token is unknown, used or expired
    ├── SecretKeyError         the key that protects credentials is missing, malformed or not this database's
    ├── SchemaError            this version cannot use the database's schema
    ├── UnstorableError        the database does not accept a value
    └── DatabaseUnavailableError  the database does not answer, or is locked
        └── DatabaseReplacedError the database's file is not the one that was opened

Messages say what to do next. They never contain a key, a token or a credential.
"""

from __future__ import annotations

from collections.abc import Sequence

from xds_server.reasons import Reason


class XdsServerError(Exception):
    """The base of every error in this tree."""


class InvalidFieldError(XdsServerError):
    """A request has fields that are not accepted. `problems` has one sentence each, beginning with the field's
    path.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class PastPriceError(XdsServerError):
    """A price would change what has been charged; callers get it as InvalidFieldError with the field's path."""


class UnauthenticatedError(XdsServerError):
    """The caller did not prove who it is."""


class ProtocolVersionError(XdsServerError):
    """A sidecar speaks another version of the node protocol. The text says which side to update."""


class SupersededError(XdsServerError):
    """A newer stream of the same node took over."""


class TooManyAttemptsError(XdsServerError):
    """Too many join tokens were refused recently. The text says when to try again."""


class SilentError(XdsServerError):
    """A node's stream is open but sends nothing."""


class ListenError(XdsServerError):
    """An address cannot be listened on. The text names the flag."""


class TlsFilesError(XdsServerError):
    """The files of the listeners' certificate cannot be used. The text names the flag and the file."""


class CsrError(XdsServerError):
    """A certificate signing request is refused. The text says what is wrong with it."""


class NoTunnelListenError(XdsServerError):
    """No node can join, because this control plane was started without `--tunnel-listen`."""


class StoreError(XdsServerError):
    """The store refused an operation, or could not serve it."""


class NotFoundError(StoreError):
    """The object does not exist."""


class AlreadyExistsError(StoreError):
    """An object of this name, or a key of this value, exists."""


class StaleWriteError(StoreError):
    """The object changed since the writer read it: read it again and repeat."""

    @classmethod
    def of(cls, object_type: str, name: str, *, given: int, current: int) -> StaleWriteError:
        """Describes the conflict of a write that is based on version `given`."""
        return cls(
            f'{object_type} "{name}" is at version {current}, the write is based on {given}: '
            "read it again and repeat the change"
        )


class InUseError(StoreError):
    """Another object depends on it."""


class GraceTimeError(StoreError):
    """A rotation would leave a key with more than two secrets that work."""


class ManagedError(StoreError):
    """A file manages the object that the API would change. The text says what to do."""


class JoinTokenError(StoreError):
    """A join token is not accepted: it is unknown, was used, or has expired."""


class SecretKeyError(StoreError):
    """The key that protects credentials at rest is missing, malformed, or not the key of this database."""


class SchemaError(StoreError):
    """The database's schema is not one that this version can use."""


class UnstorableError(StoreError):
    """The database does not accept a value that is to be written, and will not accept it the next time."""


class DatabaseUnavailableError(StoreError):
    """The database does not answer, or another writer holds it for too long."""


class DatabaseReplacedError(DatabaseUnavailableError):
    """The database's file was deleted or replaced. `reason`, which is the text too, says what to do."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
