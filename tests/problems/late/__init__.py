"""The parcels as a problem of classification."""
