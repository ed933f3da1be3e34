"""The control plane: stores the desired state, serves it over xDS, and keeps the ledger of usage."""
