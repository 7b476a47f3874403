"""Which pipelines there are."""

PIPELINES = {
    "feature": "pipelines.feature.pipeline",
    "training": "pipelines.training.pipeline",
    "search": "pipelines.training.tuning",
    "batch": "pipelines.batch.pipeline",
    "deployment": "pipelines.deployment.pipeline",
    "monitor": "pipelines.monitor.pipeline",
    "continuous_training": "pipelines.continuous_training.pipeline",
    "maintenance": "pipelines.feature.table_maintenance",
}
"""Every pipeline and the module that defines it as ``PIPELINE``; imported when asked for, because steps are heavy."""
