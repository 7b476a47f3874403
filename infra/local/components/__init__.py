"""The parts of the local environment, one file each."""
