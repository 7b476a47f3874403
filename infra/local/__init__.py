"""The local environment: a Kubernetes cluster for computation, and an emulator of AWS for storage."""
