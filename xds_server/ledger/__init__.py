"""The ledger: usage records from translators, their roll-ups, the reports on both, and their retention."""
