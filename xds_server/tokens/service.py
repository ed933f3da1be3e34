"""Serves trunkline.tokens.v1.Tokens: has the keys of token issuers read again for translators."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
from trunkline_proto.tokens.v1 import tokens_pb2 as pb, tokens_pb2_grpc

from xds_server.errors import InvalidFieldError, UnauthenticatedError
from xds_server.rpc.authorise import WHAT_IS_NEEDED, Authorise, anyone
from xds_server.rpc.reporting import reporting
from xds_server.tokens.issuer_keys import IssuerKeys

#: For TokenInterceptor: this service checks the token itself, because it knows the peer.
SERVICE = pb.DESCRIPTOR.services_by_name["Tokens"].full_name
_MAX_ISSUERS = 100

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class TokensService(tokens_pb2_grpc.TokensServicer):
    """Implements the service. `authorise` is called for every call, as for every xDS stream: a translator needs
    the same for both.
    """

    def __init__(self, keys: IssuerKeys, *, authorise: Authorise = anyone) -> None:
        self._keys = keys
        self._authorise = authorise

    @reporting
    async def RefreshKeys(self, request: pb.RefreshKeysRequest, context: Context) -> pb.RefreshKeysResponse:
        """Requests that the keys of these issuers are read again soon. Does not wait for that."""
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            raise UnauthenticatedError(WHAT_IS_NEEDED)
        if len(request.issuers) > _MAX_ISSUERS:
            raise InvalidFieldError([f"issuers: {len(request.issuers)} items; accepted: at most {_MAX_ISSUERS}"])
        self._keys.want(set(request.issuers))
        return pb.RefreshKeysResponse()


def serve(server: grpc.aio.Server, keys: IssuerKeys, authorise: Authorise) -> None:
    """Adds the service to `server`."""
    tokens_pb2_grpc.add_TokensServicer_to_server(TokensService(keys, authorise=authorise), server)
