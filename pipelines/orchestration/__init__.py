"""Pipelines as typed functions, what runs them here, and what is known of runs that were started elsewhere."""
