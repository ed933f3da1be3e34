"""Everything that can go wrong in the sidecar, and what the process exits with (see `exit_code`).

SidecarError                 1
├── SettingsError            2   an option, or node.yaml, asks for something that cannot work
├── RemovedError             3   the gateway has removed this node; it must join again
├── JoinRefusedError         4   the gateway refuses to let this machine join: the token, or the sidecar's version
├── WrongGatewayError        5   the server is not the gateway that issued the token; nothing was sent to it
├── NotJoinedError           6   there is no identity here yet
├── UnreachableError         1   the gateway cannot be reached, or does not answer
├── IdentityError            1   the stored identity, or one just issued, cannot be used
├── TunnelError              1   a tunnel could not be opened or was lost; the text says what to do
├── StreamClosedError        1   the gateway took back the stream that is being answered
├── ProbeError               1   a local server does not answer a probe as its kind should
└── SidecarControlError      1   the running sidecar cannot be reached, or refuses a command
"""

from __future__ import annotations

from typing import ClassVar


class SidecarError(Exception):
    """Base of all errors raised here. The text is for the node's owner and contains no key and no token."""

    #: The process's exit code if this error ends it. Service managers must not restart after 3, 4, 5 and 6.
    exit_code: ClassVar[int] = 1


class SettingsError(SidecarError):
    """An option or a key of node.yaml is invalid. The text names it, and what would be accepted."""

    exit_code = 2


class RemovedError(SidecarError):
    """The gateway has removed this node."""

    exit_code = 3


class JoinRefusedError(SidecarError):
    """The gateway refuses the node; the text has its reason."""

    exit_code = 4


class WrongGatewayError(SidecarError):
    """The offered CA is not the one that the join token pins."""

    exit_code = 5


class NotJoinedError(SidecarError):
    """The state directory holds no identity."""

    exit_code = 6


class UnreachableError(SidecarError):
    """The outcome is open: a retry may help."""


class IdentityError(SidecarError):
    """A key, a certificate or their file is damaged or does not match."""


class ProbeError(SidecarError):
    """The local server does not answer, or not as its kind does."""


class SidecarControlError(SidecarError):
    """A command cannot reach the running sidecar, or was refused."""


class TunnelError(SidecarError):
    """A tunnel could not be opened or was lost. It is retried automatically."""


class StreamClosedError(SidecarError):
    """The gateway cancelled the stream that is being answered, or its connection is lost."""
