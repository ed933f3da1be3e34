"""Alerts of limits: taken in from translators, kept, and sent to a webhook once."""
