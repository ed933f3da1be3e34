from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.client import Client, DeltaClient, SotwClient
from tests.conformance.driver import CoreServer, GrpcServer, Server


@pytest.fixture(params=["core", "grpc"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Runs the same case against the core and over gRPC."""
    server: Server
    if request.param == "core":
        server = CoreServer()
    else:
        server = GrpcServer()
        await server.start()
    yield server
    await server.close()


@pytest.fixture(params=[DeltaClient, SotwClient], ids=["delta", "sotw"])
def variant(request: pytest.FixtureRequest) -> type[Client]:
    """A variant of the protocol, for cases that hold in both."""
    variant: type[Client] = request.param
    return variant
