"""How the gateway reaches this node: reverse tunnels that the node opens, or a listener of its own."""
