"""Facts about the place where Envoy runs, as the resource builders need them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GatewayTls:
    """The gateway's identity towards its nodes, as PEM texts: the CA that it issues from, and its own certificate.

    The certificate's DNS name is `gateway.trunkline.internal`; the CA is public.
    """

    ca_pem: str
    certificate_chain_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The operator's own certificate as PEM texts, which the clients' and the admin listener present.

    With `client_ca_pem`, callers need a certificate that one of these CAs has issued.
    """

    certificate_chain_pem: str
    key_pem: str = field(repr=False)
    client_ca_pem: str = ""


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """The listeners and limits of every Envoy that this control plane serves.

    Addresses are `(host, port)`; sizes are bytes; paths are paths as Envoy sees them.
    """

    openai_listen: tuple[str, int] = ("127.0.0.1", 8080)
    admin_listen: tuple[str, int] = ("127.0.0.1", 8081)
    #: A larger request body is refused with 413. This is also how much of a body Envoy keeps to send it again.
    max_body_bytes: int = 32 * 1024 * 1024
    #: Bytes of request bodies that one Envoy holds: of all requests whose key is not checked yet, of one API key,
    #: and of all keys. What exceeds them is refused with 503, 429 and 503.
    max_unchecked_bytes: int = 32 * 1024 * 1024
    max_key_bytes: int = 256 * 1024 * 1024
    max_total_bytes: int = 1024 * 1024 * 1024
    #: PEM file with the CAs to trust for https providers that name no `ca_file` of their own.
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    #: The file to which Envoy writes the write-ahead ledger; empty: none.
    access_log: str = ""
    #: The address that nodes call; None: there are no nodes. Requires `tls`.
    tunnel_listen: tuple[str, int] | None = None
    #: The loopback address where Envoy hands the tunnels that nodes opened over to itself, and the secret by which
    #: it recognises itself there: any other program of the machine could call too.
    tunnel_handshake_listen: tuple[str, int] = ("127.0.0.1", 8444)
    tunnel_secret: str = field(default="", repr=False)
    #: The certificate at the start; `Builder.renew` receives its successors.
    tls: GatewayTls | None = None
    #: The certificate at the start; `Builder.renew_listeners` receives its successors. None: both listeners speak
    #: plain HTTP.
    listener_tls: ListenerTls | None = None
