"""The model store: candidates under the digest of their manifest, as a registry stores container images.

``models/<digest>/`` holds ``manifest.json`` and the files whose SHA-256 it lists; ``versions/<number>.json`` names
the digest of each version, numbered in the order of registration, and an index of keys
lists them. Every read verifies the manifest and its files;
version numbers and cards are for people and are not verified.
"""

import hashlib
import json
import re
from collections.abc import Mapping

from pipelines.config import Manifest, UserError
from pipelines.contracts import keys
from pipelines.storage.ports import ObjectStore

ONNX, CARD, REFERENCE, INDEXED = "model.onnx", "card.md", "reference.json", "indexed"
_SHORTEST, _DIGEST = 6, re.compile("[0-9a-f]+")
"""What of a digest names a model: so many characters at least."""


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
        if not self._take(version, digest):
            raise UserError(f"v{version} is another model here; models must all come from one environment's training")

    def versions(self) -> dict[int, str]:
        """Return the digest of each version, oldest first: a listing, without a read."""
        return dict(map(keys.listed_version, reversed(self._objects.keys(keys.versions_by_number()))))

    def latest_versions(self, limit: int) -> list[tuple[int, str]]:
        """Return the latest versions with their digests, the latest last: a listing, without a read."""
        listed = self._objects.first(keys.versions_by_number(), limit)
        return [keys.listed_version(key) for key in reversed(listed)]

    def version(self, number: int) -> str | None:
        """Return the digest of a version, or None when there is no such version: a read."""
        data = self._objects.read(keys.version(number))
        return json.loads(data)["model"] if data else None

    def resolve(self, reference: str) -> tuple[str, int]:
        """Return the digest and version that ``3``, ``v3`` or the beginning of a digest names.

        Raises:
            UserError: when it names none, or several.
        """
        number, matches = reference.removeprefix("v"), []
        if number.isdecimal() and number == str(int(number)) and (digest := self.version(int(number))):
            matches.append((digest, int(number)))
        if len(reference) >= _SHORTEST and _DIGEST.fullmatch(reference):
            matches += [
                (digest, version)
                for version, digest in map(keys.listed_version, self._objects.keys(keys.versions_by_digest(reference)))
            ]
        if not matches:
            raise UserError(f"there is no model {reference!r}; 'mlops status' lists the latest versions")
        if len(matches) > 1:
            raise UserError(f"{reference!r} begins the digests of {len(matches)} models; give more of it")
        return matches[0]

    def _number(self, digest: str) -> int:
        number = max((number for number, _ in self.latest_versions(1)), default=0) + 1
        known = self._objects.keys(keys.versions_by_digest(digest))  # after the latest, which is indexed here first
        if known:
            return keys.listed_version(known[0])[0]
        while not self._take(number, digest):
            number += 1
        return number

    def _take(self, number: int, digest: str) -> bool:
        """Give a version to a candidate unless another has it, and say whether it is the candidate's.

        The version is indexed in either case: a process that was killed before it did so is made up for.
        """
        self._objects.create(keys.version(number), json.dumps({"model": digest}).encode())
        holder = self.version(number)
        assert holder, "it was just created, or before"
        for key in reversed(keys.version_index(number, holder)):  # by digest first
            self._objects.write(key, b"")
        return holder == digest


def _check(data: bytes, sha256: str, name: str, digest: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{name} of model {digest[:12]} was tampered with: its SHA-256 is not the one it is named by")
