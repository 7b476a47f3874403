"""The settings of the project's image: the same image serves, runs steps and ticks, with another command."""

from infra.names import Names

TICK = "pipelines.entrypoints.lambda_handler.handler"
DISPATCH = "pipelines.entrypoints.dispatch.handler"
FUNCTION_ENTRY = ("python", "-m", "awslambdaric")


def variables(names: Names) -> dict[str, str]:
    """Return the environment variables by which a container finds its stack."""
    return {
        "RATCHET_PROFILE": "aws",
        "RATCHET_PROJECT": names.project,
        "RATCHET_ENVIRONMENT": names.environment,
    }
