"""A control plane's Admin API with canned answers, over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin, admin_pb2_grpc

TOKEN = "a-token-of-the-tests"


class FakeAdmin(admin_pb2_grpc.AdminServicer):
    """Answers with `answers[request type]`, raises `refusal` if set, and records the requests.

    With `missing`, requests without an answer in `answers` are refused as not found, with this text.
    """

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[Any] = []
        self.answers: dict[type, Any] = {}
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.missing = ""

    def last(self, kind: type) -> Any:
        return next(each for each in reversed(self.asked) if isinstance(each, kind))

    def _answer(self, request: Any, context: grpc.ServicerContext, default: Any) -> Any:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong token")
        self.asked.append(request)
        if self.refusal is not None:
            context.abort(*self.refusal)
        if self.missing and type(request) not in self.answers:
            context.abort(grpc.StatusCode.NOT_FOUND, self.missing)
        return self.answers.get(type(request), default)


def _method(answer: type) -> Any:
    def method(self: FakeAdmin, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer(request, context, answer())

    return method


for _name, _rpc in admin.DESCRIPTOR.services_by_name["Admin"].methods_by_name.items():
    setattr(FakeAdmin, _name, _method(getattr(admin, _rpc.output_type.name)))


@contextmanager
def serving() -> Iterator[FakeAdmin]:
    """Serves on a free loopback port."""
    making: Any = FakeAdmin  # its methods come from the loop above
    fake: FakeAdmin = making()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    admin_pb2_grpc.add_AdminServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(grace=None).wait()
