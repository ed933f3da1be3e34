"""The client's side of delta ADS, without I/O: which requests to send, and what to answer to a response.

https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol#incremental-xds
"""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from translator.errors import PolicyError
from translator.policy.store import PolicyStore

#: google.rpc.Code.INVALID_ARGUMENT
_INVALID_ARGUMENT = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The ACK or NACK to send, and why it is a NACK (empty for an ACK)."""

    request: discovery.DeltaDiscoveryRequest
    refused: str


class PolicySubscription:
    """The state of one stream; a reconnect creates a new one over the same store."""

    def __init__(self, store: PolicyStore, node: discovery.Node) -> None:
        self._store = store
        self._node = node
        self._started = False

    def opening(self) -> list[discovery.DeltaDiscoveryRequest]:
        """Returns the first requests of a stream: everything of every type, as a difference to the stored
        versions.

        Only the first request contains the node ("Node identifier").
        """
        requests = [
            discovery.DeltaDiscoveryRequest(
                type_url=url,
                resource_names_subscribe=["*"],
                initial_resource_versions=self._store.versions(url),
            )
            for url in self._store.type_urls
        ]
        requests[0].node.CopyFrom(self._node)
        return requests

    def receive(self, response: discovery.DeltaDiscoveryResponse) -> Answer:
        """Applies the response, or refuses it as a whole."""
        if not self._started:
            self._started = True
            self._store.begin()
        request = discovery.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        try:
            self._store.apply(response)
        except PolicyError as error:
            request.error_detail.code = _INVALID_ARGUMENT
            request.error_detail.message = str(error)
            return Answer(request, str(error))
        return Answer(request, "")
