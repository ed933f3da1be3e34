"""The part of the Admin service that deals with people."""

from __future__ import annotations

from xds_server.admin.oidc import OidcMethods
from xds_server.admin.personal_tokens import PersonalTokenMethods
from xds_server.admin.users import UserMethods


class AccountMethods(UserMethods, OidcMethods, PersonalTokenMethods):
    """Methods for signing in, users, their memberships, and their tokens."""
