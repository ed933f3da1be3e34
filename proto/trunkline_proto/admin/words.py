"""The words of the Admin API's enumerations."""

from __future__ import annotations

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.words import Words

STRATEGIES = Words(admin.Strategy)
PRIVACIES = Words(admin.Privacy)
ROLES = Words(admin.Role)
VISIBILITIES = Words(admin.Visibility)
DIMENSIONS = Words(admin.Dimension)
ORDERS = Words(admin.TopRequestsRequest.Order)
