"""The part of the Admin service that is about people."""

from __future__ import annotations

from xds_server.admin.sign_in import SignInMethods


class AccountMethods(SignInMethods):
    """Signing in and out."""
