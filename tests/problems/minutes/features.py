"""The features of the parcels."""

from tests.problems.parcels import REQUEST_FEATURES, VIEWS

__all__ = ["REQUEST_FEATURES", "VIEWS"]
