"""The model store: candidates under the digest of their manifest, as a registry stores container images.

``models/<digest>/`` holds ``manifest.json`` and the files whose SHA-256 it lists; ``versions/<number>.json`` names
the digest of each version, numbered in the order of registration. Every read verifies the manifest and its files;
version numbers and cards are for people and are not verified.
"""

import hashlib
import json
from collections.abc import Mapping

from pipelines.config import Manifest, UserError
from pipelines.contracts import keys
from pipelines.storage.ports import ObjectStore

ONNX, CARD, REFERENCE, INDEXED = "model.onnx", "card.md", "reference.json", "indexed"


class ModelStore:
    """Registers candidates, and verifies them on every read."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def put(self, manifest: Manifest, files: Mapping[str, bytes]) -> tuple[str, int]:
        """Store a candidate and return its digest and version; storing it again returns the same."""
        digest = manifest.sha256()
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != manifest.files[name]:
                raise ValueError(f"{name} is not the file that the manifest lists")
            self._objects.write(keys.model(digest, name), data)
        self._objects.write(keys.model(digest, "manifest.json"), manifest.to_json())
        return digest, self._number(digest)

    def attach(self, digest: str, name: str, data: bytes) -> None:
        """Store a file that is derived from the manifest, such as the card, beside it."""
        self._objects.write(keys.model(digest, name), data)

    def attached(self, digest: str, name: str) -> str:
        """Return the text of an attached file, or an empty text without one."""
        return (self._objects.read(keys.model(digest, name)) or b"").decode()

    def manifest(self, digest: str) -> Manifest:
        """Return a candidate's manifest.

        Raises:
            UserError: when there is none, or its content is not what the digest says.
        """
        data = self._objects.read(keys.model(digest, "manifest.json"))
        if data is None:
            raise UserError(f"the model store has no model {digest[:12]}; 'mlops status' lists the versions")
        _check(data, digest, "manifest.json", digest)
        return Manifest.from_json(data)

    def file(self, digest: str, name: str) -> bytes:
        """Return one file of a candidate, verified against its manifest; errors as :meth:`manifest`."""
        data = self._objects.read(keys.model(digest, name))
        if data is None:
            raise UserError(f"model {digest[:12]} lacks its {name}")
        _check(data, self.manifest(digest).files[name], name, digest)
        return data

    def onnx(self, digest: str) -> bytes:
        """Return a candidate's ONNX file, verified."""
        return self.file(digest, ONNX)

    def adopt(self, source: "ModelStore", digest: str, version: int) -> None:
        """Copy a candidate from another environment's store under its version there, and verify the copy.

        Raises:
            UserError: when the version is another model's here, or a file is not what its manifest says.
        """
        manifest = source.manifest(digest)
        self.attach(digest, CARD, source.attached(digest, CARD).encode())
        for name in manifest.files:
            self._objects.write(keys.model(digest, name), source.file(digest, name))
        self._objects.write(keys.model(digest, "manifest.json"), manifest.to_json())
        for name in self.manifest(digest).files:
            self.file(digest, name)
        if not self._take(version, digest) and self.versions()[version] != digest:
            raise UserError(f"v{version} is another model here; models must all come from one environment's training")

    def versions(self) -> dict[int, str]:
        """Return the digest of each version."""
        return dict(map(self._numbered, self._objects.keys(keys.VERSIONS)))

    def latest_versions(self, limit: int) -> list[tuple[int, str]]:
        """Return the latest versions with their digests, the latest last: a listing, and a read each."""
        return [self._numbered(key) for key in self._objects.keys(keys.VERSIONS)[-limit:]]

    def resolve(self, reference: str) -> tuple[str, int]:
        """Return the digest and version that ``3``, ``v3`` or the beginning of a digest names.

        Raises:
            UserError: when it names none, or several.
        """
        number = reference.removeprefix("v")
        matches = [
            (digest, version)
            for version, digest in self.versions().items()
            if number == str(version) or (len(reference) >= 6 and digest.startswith(reference))
        ]
        if not matches:
            raise UserError(f"there is no model {reference!r}; 'mlops status' lists the latest versions")
        if len(matches) > 1:
            raise UserError(f"{reference!r} begins the digests of {len(matches)} models; give more of it")
        return matches[0]

    def _number(self, digest: str) -> int:
        versions = self.versions()
        known = [version for version, model in versions.items() if model == digest]
        if known:
            return known[0]
        number = max(versions, default=0) + 1
        while not self._take(number, digest):
            number += 1
        return number

    def _numbered(self, key: str) -> tuple[int, str]:
        """Return the number and the digest of the version under a key."""
        number = int(key.removeprefix(keys.VERSIONS).removesuffix(".json"))
        return number, json.loads(self._objects.read(key) or b"{}")["model"]

    def _take(self, number: int, digest: str) -> bool:
        return self._objects.create(keys.version(number), json.dumps({"model": digest}).encode())


def _check(data: bytes, sha256: str, name: str, digest: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{name} of model {digest[:12]} was tampered with: its SHA-256 is not the one it is named by")
