"""Accounts and permissions: users, roles, sessions and tokens."""
