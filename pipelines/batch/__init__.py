"""Batch inference: many requests at once, with offline features, into a file; resumable."""
