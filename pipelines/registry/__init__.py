"""Models by digest, the releases that serve them, how they score, and MLflow's record of both."""
