"""gRPC channels to a control plane: in plain text on the same machine, or through a listener with TLS."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from trunkline import control_address
from trunkline.errors import UsageError

CA_VARIABLE = "TRUNKLINE_CA_FILE"
CERTIFICATE_VARIABLE = "TRUNKLINE_CLIENT_CERT"
KEY_VARIABLE = "TRUNKLINE_CLIENT_KEY"


@dataclass(frozen=True, slots=True)
class Trust:
    """PEM files for `https://`: the CAs to trust (None: the public CAs), and the client certificate for servers
    that request one.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ, ca: Path | None = None) -> Trust:
        """Reads TRUNKLINE_CA_FILE or SSL_CERT_FILE if `ca` is not given, and TRUNKLINE_CLIENT_CERT and _KEY.

        Raises:
            UsageError: half of a pair.
        """
        known = environment.get(CA_VARIABLE) or environment.get("SSL_CERT_FILE")
        certificate, key = environment.get(CERTIFICATE_VARIABLE), environment.get(KEY_VARIABLE)
        if bool(certificate) != bool(key):
            raise UsageError(f"{CERTIFICATE_VARIABLE} and {KEY_VARIABLE}: set both, or neither")
        return cls(
            ca or (Path(known) if known else None),
            Path(certificate) if certificate else None,
            Path(key) if key else None,
        )

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises UsageError for a file that cannot be read."""
        ca, key, certificate = map(_contents, (self.ca, self.key, self.certificate))
        return grpc.ssl_channel_credentials(ca, key, certificate)


def opened(address: str, trust: Trust, options: Sequence[tuple[str, int]]) -> grpc.Channel:
    """Opens a channel to `https://HOST[:PORT]`, or in plain text to `http://HOST[:PORT]`, HOST:PORT or unix:PATH.

    Raises:
        UsageError: the address is none of these, or a file of `trust` cannot be read.
    """
    parsed = control_address.parse(address, source="TRUNKLINE_CONTROL")
    if not parsed.tls:
        return grpc.insecure_channel(parsed.target, options=options)
    return grpc.secure_channel(parsed.target, trust.credentials(), options=options)


def _contents(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
