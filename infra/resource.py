"""A resource of an environment, as the program registers it."""

from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "<known after the update>"
"""Stands in a preview for a value that only the update will tell; no rule finds fault with it."""


@dataclass(frozen=True)
class Resource:
    """A resource as it was registered.

    Attributes:
        type: the token of Pulumi, such as ``aws:s3/bucket:Bucket``; components begin with ``mlops:infra:``.
        name: the logical name.
        urn: of the resource, and of its parent.
        props: what it was given, in Pulumi's spelling (camel case).
        provider: what its provider was given.
        protect, retain: what keeps it from being deleted, or the thing itself when it is.
        needs: URNs of what was there before.
        encrypted: names of the properties that Pulumi encrypts in its state.
    """

    type: str
    name: str
    urn: str = ""
    parent: str = ""
    props: dict[str, Any] = field(default_factory=dict)
    provider: dict[str, Any] = field(default_factory=dict)
    protect: bool = False
    retain: bool = False
    needs: tuple[str, ...] = ()
    encrypted: frozenset[str] = frozenset()

    @property
    def custom(self) -> bool:
        """Whether it is a thing of AWS or of Kubernetes, and neither a component nor a provider."""
        return self.type.startswith(("aws:", "kubernetes:"))
