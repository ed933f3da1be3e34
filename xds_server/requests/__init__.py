"""Running and waiting requests: the translators' calls, and the inquiries through them."""
