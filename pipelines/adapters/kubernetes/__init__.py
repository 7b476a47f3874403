"""The profile `kubernetes`: the stores of the profile `aws` on an emulator, and runs as Jobs of a cluster."""
