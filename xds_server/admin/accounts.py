"""The part of the Admin service that is about people."""

from __future__ import annotations

from xds_server.admin.oidc import OidcMethods
from xds_server.admin.personal_tokens import PersonalTokenMethods
from xds_server.admin.users import UserMethods


class AccountMethods(UserMethods, OidcMethods, PersonalTokenMethods):
    """Signing in, users, what they belong to, and their tokens."""
