"""How the project's image is started: the same image serves, runs steps and ticks; only command and settings differ."""

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
