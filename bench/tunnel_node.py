"""The node of `bench.tunnel`: tunnel port, local server's port, CA, certificate and key as arguments."""

from __future__ import annotations

import asyncio
import ssl
import sys

from node_sidecar.serving.gate import Gate
from node_sidecar.serving.service import Service
from node_sidecar.tunnel.tunnels import Tunnels
from tests.node_sidecar.support.upstreams import Local, Models


async def main() -> None:
    tunnel_port, local_port, authority, certificate, key = sys.argv[1:]

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(authority)
        made.load_cert_chain(certificate, key)
        return made

    service = Service(Models(Local(f"http://127.0.0.1:{local_port}/v1")), Gate(0, 0))
    await Tunnels(("127.0.0.1", int(tunnel_port)), context, service, node_id="nd-bench").run()


if __name__ == "__main__":
    asyncio.run(main())
