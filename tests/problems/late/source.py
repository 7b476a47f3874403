"""The made-up parcels."""

from tests.problems.parcels import read

__all__ = ["read"]
