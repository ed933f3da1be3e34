"""The errors of accounts and sign-in.

XdsServerError
├── ForbiddenError          the caller's role does not allow the call
├── TooManyGuessesError     too many wrong passwords recently; says when to try again
├── ProviderError           an identity provider does not answer, or not as it should
└── UnauthenticatedError
    ├── SignInError         the e-mail address or the password is wrong
    └── LinkError           a link is unknown, used or expired
"""

from __future__ import annotations

from xds_server.errors import UnauthenticatedError, XdsServerError


class ForbiddenError(XdsServerError):
    """The caller's role does not allow the call. The text names the role that is needed."""


class TooManyGuessesError(XdsServerError):
    """Too many attempts failed, for an account or from an address. `seconds` is how long to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts failed: try again in {seconds} s")
        self.seconds = seconds


class ProviderError(XdsServerError):
    """An identity provider does not answer, or not as it should. The text is for its operator more than for the
    user.
    """


class SignInError(UnauthenticatedError):
    """A sign-in failed. The text never reveals whether the account exists."""


class LinkError(UnauthenticatedError):
    """A link for setup, an invitation or a new password is not valid."""
