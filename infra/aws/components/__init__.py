"""The components of an environment, one file for each capability."""
