"""Limit alerts: received from translators, stored, and sent to a webhook once."""
