"""The two ways in which the gateway reaches this node: reverse tunnels that the node opens, or its own
listener.
"""
