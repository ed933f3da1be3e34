"""Everything that can go wrong in the sidecar, as one tree.

SidecarError
├── TunnelError             a tunnel could not be opened or was lost; the text says what to do
└── StreamClosedError       the gateway took back the stream that is being answered
"""

from __future__ import annotations


class SidecarError(Exception):
    """Base of all errors raised here."""


class TunnelError(SidecarError):
    """A tunnel could not be opened or was lost. Another attempt follows by itself."""


class StreamClosedError(SidecarError):
    """The gateway took back the stream that is being answered, or its connection is lost."""
