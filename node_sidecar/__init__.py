"""The sidecar of a node: joins a gateway, reports what the machine can serve, and serves it."""
