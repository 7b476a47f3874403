"""The deployment pipeline, defined."""

from pipelines.deployment import DeploymentParams
from pipelines.deployment.roll_out import pull, roll_out, test
from pipelines.orchestration.pipeline import Pipeline

PIPELINE = Pipeline("deployment", DeploymentParams, manifest=pull, tested=test, rolled_out=roll_out)
