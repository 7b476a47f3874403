"""The audit key as an asymmetric KMS key, whose private half never leaves KMS."""

import base64
import hashlib
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipelines.adapters.aws.clients import asking


class KmsSigner:
    """Implements :class:`pipelines.storage.ports.Signer` with an ECC_NIST_P256 key; verifies signatures locally."""

    def __init__(self, client: Any, key: str) -> None:
        self._client, self._key = client, key

    def sign(self, data: bytes) -> str:
        """See the port; the message that KMS signs is the SHA-256 of the data, which may be longer than KMS takes."""
        with asking("KMS"):
            answer = self._client.sign(
                KeyId=self._key,
                Message=hashlib.sha256(data).digest(),
                MessageType="RAW",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        return base64.b64encode(answer["Signature"]).decode()

    def verify(self, data: bytes, signature: str) -> bool:
        """See the port; fetches the public key once."""
        try:
            message = hashlib.sha256(data).digest()
            self._public.verify(base64.b64decode(signature, validate=True), message, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True

    @cached_property
    def _public(self) -> ec.EllipticCurvePublicKey:
        with asking("KMS"):
            answer = self._client.get_public_key(KeyId=self._key)
        key = serialization.load_der_public_key(answer["PublicKey"])
        assert isinstance(key, ec.EllipticCurvePublicKey), "the stack makes a key of ECC_NIST_P256"
        return key
