"""The join token: `tlj_<public id>_<secret>_<SHA-256 of the CA certificate's DER, hex>`."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from node_sidecar.errors import SettingsError, WrongGatewayError

_TOKEN = re.compile(r"tlj_[A-Za-z0-9]+_[A-Za-z0-9_-]+_(?P<fingerprint>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """`fingerprint` is the SHA-256 of the CA's DER, 64 hexadecimal digits."""

    text: str = field(repr=False)
    fingerprint: str

    def trusted(self, offered: bytes) -> bytes:
        """Returns the CA as PEM, if `offered` (PEM) is the certificate that this token pins.

        Only that certificate is returned: anything after it in `offered` was not checked.

        Raises:
            WrongGatewayError: it is another certificate, or none.
        """
        try:
            certificate = x509.load_pem_x509_certificate(offered)
        except ValueError as error:
            raise WrongGatewayError(
                "the server at this address offers no CA certificate: is it the gateway's tunnel listener? "
                "The token was not sent."
            ) from error
        digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        if not hmac.compare_digest(digest, self.fingerprint):
            raise WrongGatewayError(
                f"this is not the gateway that made the token: its CA has the SHA-256 {digest[:16]}…, the token "
                f"expects {self.fingerprint[:16]}…. The token was not sent. Check the address; if it is right, "
                "another server intercepts the connection, or the gateway has a new CA since the token was made."
            )
        return certificate.public_bytes(Encoding.PEM)


def parse(text: str) -> JoinToken:
    """Parses a join token.

    Raises:
        SettingsError: it is not of a token's form; the message does not repeat it.
    """
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        raise SettingsError(
            "--token: not a join token (tlj_…, as `trunkline nodes invite` prints it); was it cut while copying?"
        )
    return JoinToken(text.strip(), match["fingerprint"])
