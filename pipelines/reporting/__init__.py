"""What happened and why, gathered from the stores for people: history, lineage, comparison, the report."""
