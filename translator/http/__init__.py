"""The server's half of HTTP/1.1 for one trusted peer: Envoy, over a Unix socket.

It answers what Envoy passes on (`/v1/models`, readiness, metrics), and hands Envoy's checks to
`translator.checks`. The protocol is separate from the sockets: `reader`, `chunked` and `message` do no I/O.
"""
