"""The Admin API as REST: each request becomes one call of the gRPC service, by the bindings of its descriptors."""

from xds_server.rest.server import RestServer

__all__ = ["RestServer"]
