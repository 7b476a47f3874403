"""Gathers from the stores, for people, what happened and why: history, lineage, comparison, the report."""
