"""The engine: pipelines from features to monitoring and continuous training, and what runs them."""

import os

# Libraries that would tell their makers how they are used. Here, because it runs before any of them is imported,
# whatever starts the process; whoever sets a variable decides otherwise.
for _name, _off in {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}.items():
    os.environ.setdefault(_name, _off)
