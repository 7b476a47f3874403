"""The engine: pipelines from features to monitoring and continuous training, and what runs them."""
