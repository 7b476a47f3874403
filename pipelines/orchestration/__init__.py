"""Pipelines as typed functions, the runner that executes them here, and the state of runs on other platforms."""
