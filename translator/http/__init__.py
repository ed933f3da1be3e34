"""The server's half of HTTP/1.1 for one trusted peer: Envoy, over a Unix socket.

Ours and not a framework's because every request of the gateway pays for it: a third to a half of the CPU of
aiohttp's low-level server under the same load. The protocol is apart from the sockets: `reader`, `chunked` and
`message` do no I/O.
"""
