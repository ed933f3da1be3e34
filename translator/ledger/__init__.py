"""The write-ahead ledger: Envoy's log followed, settled, priced and shipped. See `ledger.ledger`."""
