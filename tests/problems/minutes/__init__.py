"""The parcels as a problem of regression."""
