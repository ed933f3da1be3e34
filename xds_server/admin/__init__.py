"""The operator's interface over gRPC: `AdminService` serves, `TokenInterceptor` guards."""

from xds_server.admin.auth import TokenInterceptor
from xds_server.admin.ports import Clients, Publisher
from xds_server.admin.service import AdminService

__all__ = ["AdminService", "Clients", "Publisher", "TokenInterceptor"]
