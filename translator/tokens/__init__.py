"""Access tokens of identity providers (JWT, RFC 7519), which clients may send instead of an API key."""

from translator.tokens.tokens import AccessTokens

__all__ = ["AccessTokens"]
