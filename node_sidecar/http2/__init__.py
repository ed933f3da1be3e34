"""An HTTP/2 server for one peer, the gateway: `connection` is the protocol without I/O, `session` the
transport.
"""
