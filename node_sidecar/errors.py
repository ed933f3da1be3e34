"""Everything that can go wrong in the sidecar, and what the process exits with (see `exit_code`).

SidecarError                 1
├── SettingsError            2   an option, or node.yaml, asks for something that cannot work
├── RemovedError             3   the gateway has removed this node; it must join again
├── JoinRefusedError         4   the gateway refuses to let this machine join: the token, or the sidecar's version
├── WrongGatewayError        5   what answers is not the gateway that the token was made by; nothing was sent to it
├── NotJoinedError           6   there is no identity here yet
├── UnreachableError         1   the gateway cannot be reached, or does not answer
├── IdentityError            1   the stored identity, or one just issued, cannot be used
├── TunnelError              1   a tunnel could not be opened or was lost; the text says what to do
├── StreamClosedError        1   the gateway took back the stream that is being answered
├── ProbeError               1   a local server does not answer a probe as its kind should
└── ControlError             1   the running sidecar cannot be reached, or refuses a command
"""

from __future__ import annotations

from typing import ClassVar


class SidecarError(Exception):
    """Base of all errors raised here; the text is for the node's owner and holds no key and no token."""

    #: What the process exits with if this ends it. Service managers must not restart after 3, 4, 5 and 6.
    exit_code: ClassVar[int] = 1


class SettingsError(SidecarError):
    """Names the option or the key of node.yaml, and what would be accepted."""

    exit_code = 2


class RemovedError(SidecarError):
    """The gateway knows this node no more."""

    exit_code = 3


class JoinRefusedError(SidecarError):
    """The gateway's own words."""

    exit_code = 4


class WrongGatewayError(SidecarError):
    """The CA that was offered is not the one that the join token pins."""

    exit_code = 5


class NotJoinedError(SidecarError):
    """The state directory holds no identity."""

    exit_code = 6


class UnreachableError(SidecarError):
    """Nothing was decided: trying again may help."""


class IdentityError(SidecarError):
    """A key, a certificate or the file that holds them is damaged or does not fit."""


class ProbeError(SidecarError):
    """The local server is away, or answers what its kind does not answer."""


class ControlError(SidecarError):
    """Of the commands that talk to the running sidecar."""


class TunnelError(SidecarError):
    """A tunnel could not be opened or was lost. Another attempt follows by itself."""


class StreamClosedError(SidecarError):
    """The gateway took back the stream that is being answered, or its connection is lost."""
