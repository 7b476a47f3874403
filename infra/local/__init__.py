"""The environment on a laptop: a Kubernetes cluster for what computes, an emulator of AWS for what is kept."""
