"""What the verbs say of servers that are no control plane."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
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
