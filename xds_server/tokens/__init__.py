"""The public keys of identity providers whose access tokens are accepted instead of API keys."""
