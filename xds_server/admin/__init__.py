"""The operator's interface over gRPC.

`AdminService` serves, `TokenInterceptor` guards. A server that has them takes messages of up to MAX_MESSAGE_BYTES
(`grpc.max_receive_message_length`).
"""

from xds_server.admin.auth import TokenInterceptor
from xds_server.admin.ports import Clients, Publisher
from xds_server.admin.service import AdminService

#: 10,000 keys in one document take about 2 MiB.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

__all__ = ["MAX_MESSAGE_BYTES", "AdminService", "Clients", "Publisher", "TokenInterceptor"]
