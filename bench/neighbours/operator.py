"""An operator at work: changes a weight up and down, with or without an attack."""

from __future__ import annotations

import itertools

from trunkline_proto.admin.v1 import admin_pb2

from bench.gateway import Gateway
from bench.neighbours.meanwhile import Meanwhile
from bench.neighbours.scene import PLAIN, admin

EVERY_SECONDS = 3.0


class Operator(Meanwhile):
    """Changes a route every three seconds until the block is left, without waiting for the change."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def run(self) -> None:
        channel, stub, metadata = admin(self._gateway)
        metadata = (*metadata, ("x-trunkline-take-over", "true"))  # the route is a file's
        with channel:
            for weight in itertools.cycle((2, 1)):
                if self.over.wait(EVERY_SECONDS):
                    return
                listed = stub.ListRoutes(admin_pb2.ListRoutesRequest(), metadata=metadata, timeout=60)
                route = next(each for each in listed.routes if each.model == PLAIN)
                route.targets[0].weight = weight
                stub.PutRoute.future(admin_pb2.PutRouteRequest(route=route), metadata=metadata, timeout=60)
