"""How the verbs reach a control plane, and what they say of servers that are none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import suppress
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.client import Control
from trunkline.errors import ControlError


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that answers calls with success and without a message, as the listener for clients does."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]
        def service(self, details: Any) -> Any:
            return grpc.unary_stream_rpc_method_handler(lambda request, context: iter(()))

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_success_without_a_message_is_no_answer_of_a_control_plane(silent: str) -> None:
    with (
        pytest.raises(ControlError, match=r"is not a control plane .* not that of --listen"),
        Control(silent, "a-token-of-the-tests").connect() as api,
    ):
        api.ListOrganisations(admin.ListOrganisationsRequest())


@pytest.fixture
def busy() -> Iterator[str]:
    """A control plane that takes a second to greet each client."""

    def list_organisations(request: Any, context: Any) -> admin.ListOrganisationsResponse:
        return admin.ListOrganisationsResponse(organisations=[admin.Organisation(name="acme")])

    method = grpc.unary_unary_rpc_method_handler(
        list_organisations,
        request_deserializer=admin.ListOrganisationsRequest.FromString,
        response_serializer=admin.ListOrganisationsResponse.SerializeToString,
    )
    server = grpc.server(futures.ThreadPoolExecutor(1))
    handlers = {"ListOrganisations": method}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("trunkline.admin.v1.Admin", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def relay(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either side has gone
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        client, _ = door.accept()
        time.sleep(1)  # the delay that is tested
        with client, socket.create_connection(("127.0.0.1", port)) as inside:
            back = threading.Thread(target=relay, args=(inside, client))
            back.start()
            relay(client, inside)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as door:
        serving = threading.Thread(target=serve)
        serving.start()
        yield f"127.0.0.1:{door.getsockname()[1]}"
        serving.join()
    server.stop(None).wait()


@pytest.mark.slow
def test_a_busy_control_plane_is_waited_for(busy: str) -> None:
    with Control(busy, "a-token-of-the-tests").connect() as api:
        answer = api.ListOrganisations(admin.ListOrganisationsRequest())
    assert [each.name for each in answer.organisations] == ["acme"]
