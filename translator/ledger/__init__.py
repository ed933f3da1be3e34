"""The write-ahead ledger: follows Envoy's log, settles, prices and ships. See `ledger.ledger`."""
