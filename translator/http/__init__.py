"""The server's half of HTTP/1.1 for one trusted peer: Envoy, over a Unix socket.

It answers what Envoy passes on (`/v1/models`, readiness, metrics), and hands Envoy's checks of requests over to
`translator.checks`. The protocol is apart from the sockets: `reader`, `chunked` and `message` do no I/O.
"""
