"""Removes the node from the gateway for good."""

from __future__ import annotations

import grpc
import grpc.aio
from trunkline_proto.node.v1 import registry_pb2 as wire, registry_pb2_grpc

from node_sidecar import channel
from node_sidecar.errors import UnreachableError
from node_sidecar.identity import IdentityStore

_TIMEOUT = 10.0


async def leave(store: IdentityStore, *, force: bool) -> str:
    """Informs the gateway, then removes the identity. Returns a message for the owner.

    Raises:
        NotJoinedError, IdentityError: there is nothing to leave with.
        UnreachableError: the gateway cannot be informed, and `force` is not set; the identity stays.
    """
    identity = store.load()
    name = identity.record.name
    async with channel.identified(identity) as opened:
        try:
            await registry_pb2_grpc.NodeRegistryStub(opened).Leave(wire.LeaveRequest(), timeout=_TIMEOUT)
            message = f"{name} has left {identity.record.gateway}"
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                message = f"{name} had been removed from {identity.record.gateway} already"
            elif force:
                message = (
                    f"the gateway could not be informed: an operator must remove {name} (`trunkline nodes remove`)"
                )
            else:
                raise UnreachableError(
                    f"the gateway cannot be informed ({error.code().name}: {error.details()}); "
                    "--force removes the identity from this machine anyway"
                ) from error
    store.remove()
    return message
