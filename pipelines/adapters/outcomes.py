"""What a run that was left to itself came to: told by the records of its steps, never by the word of who ran it."""

from pipelines.ports import Outcome
from pipelines.runner import Runner
from pipelines.spec import Pipeline, UserError

TAIL = 20
"""Lines of a log that are told."""


def checked(runner: Runner, pipeline: Pipeline, run_id: str, said: str) -> Outcome:
    """Believe a success when every step left its record and its output is what the record says.

    ``said`` is who calls it a success, such as "SageMaker says Succeeded".
    """
    try:
        for name in pipeline.steps:
            runner.output(pipeline, name, run_id)
    except UserError as error:
        return Outcome("failed", f"{said}, but {error}")
    return Outcome("succeeded")
