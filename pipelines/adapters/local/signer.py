"""The audit key as an Ed25519 key pair in two files; only their owner can read the private half."""

import base64
import os
import tempfile
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class FileSigner:
    """Implements :class:`~pipelines.storage.ports.Signer`; signing creates the key, verifying needs ``audit.pub``."""

    def __init__(self, folder: Path) -> None:
        self._private_path, self._public_path = folder / "audit.key", folder / "audit.pub"

    def sign(self, data: bytes) -> str:
        """See the port."""
        return base64.b64encode(self._private.sign(data)).decode()

    def verify(self, data: bytes, signature: str) -> bool:
        """See the port; without a public key no signature is valid."""
        if not self._public_path.exists():
            return False
        try:
            self._public.verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, ValueError):
            return False
        return True

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        if not self._private_path.exists():
            self._make()
        key = serialization.load_pem_private_key(self._private_path.read_bytes(), password=None)
        assert isinstance(key, Ed25519PrivateKey), "we made it"
        self._publish(key)
        return key

    @cached_property
    def _public(self) -> Ed25519PublicKey:
        key = serialization.load_pem_public_key(self._public_path.read_bytes())
        assert isinstance(key, Ed25519PublicKey), "we made it"
        return key

    def _make(self) -> None:
        """Create the key, or take the one that another process created at the same time."""
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        temporary = _temporary(self._private_path, pem)
        try:
            self._private_path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()

    def _publish(self, key: Ed25519PrivateKey) -> None:
        if not self._public_path.exists():
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            _temporary(self._public_path, public).replace(self._public_path)


def _temporary(path: Path, data: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")  # readable by its owner alone
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Path(name)
