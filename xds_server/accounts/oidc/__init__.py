"""Signs users in through OpenID providers: Authorization Code with PKCE (RFC 7636, RFC 9207)."""
