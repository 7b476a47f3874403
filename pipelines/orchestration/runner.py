"""Runs pipelines step by step: each output is stored before the next step reads it, so a killed run resumes.

``runs/<run id>/run.json`` holds the run's parameters; ``runs/<run id>/<step>/`` the step's output files and, written
last, its ``record.json``. A step counts as done when its record says so and was made from the inputs that are
there now. A step's inputs are always decoded from the stored bytes, so that a resumed run sees what an uninterrupted
one saw. The same ``step`` runs here, in a Kubernetes Job and in a SageMaker step.
"""

import hashlib
import json
import logging
import re
import traceback
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pipelines.config.errors import UserError, WrongUsage
from pipelines.config.strict import StrictModel
from pipelines.contracts import keys
from pipelines.orchestration.boundary import data_error
from pipelines.orchestration.pipeline import Pipeline, RunInfo, StepRecord
from pipelines.orchestration.runs import RunStore
from pipelines.orchestration.serialisation import decode, encode
from pipelines.storage.ports import ObjectStore

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Event = Literal["started", "finished", "resumed"]
Observer = Callable[[str, Event], None]


def _ignore(_step: str, _event: Event) -> None:
    """Observe nothing."""


def _valid(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise WrongUsage(f"{run_id!r} is no run id; use letters, digits, '.', '_' and '-'")
    return run_id


class Runner:
    """Executes pipelines against an object store; ``resource`` gives a platform resource by its name.

    ``writes`` is false in a process that computes a step together with another one, which records it.
    """

    def __init__(self, objects: ObjectStore, resource: Callable[[str], Any], writes: bool = True) -> None:
        self.objects, self.resource, self._writes = objects, resource, writes
        self.runs = RunStore(objects)

    def start(self, pipeline: Pipeline, params: StrictModel, run_id: str | None = None) -> str:
        """Record a run's parameters and return its id; starting an existing run again with the same ones is a no-op.

        Raises:
            UserError: when the run exists with other parameters.
        """
        run_id = (
            _valid(run_id) if run_id else f"{pipeline.name}-{datetime.now(UTC):%Y%m%dt%H%M%S}-{uuid.uuid4().hex[:6]}"
        )
        given = params.model_dump(mode="json")
        if not self.runs.create(run_id, pipeline.name, given, pipeline.steps):
            stored = self._run_document(pipeline, run_id)
            other = [name for name, value in given.items() if stored["params"].get(name) != value]
            if other:
                raise UserError(
                    f"run {run_id!r} was started with another {' and '.join(other)}; to resume it give no parameters, "
                    "for a new run another --run-id"
                )
        return run_id

    def exists(self, pipeline: Pipeline, run_id: str) -> bool:
        """Say whether a run was started under this id; errors as :meth:`start`, for one of another pipeline."""
        if self.runs.document(_valid(run_id)) is None:
            return False
        return bool(self._run_document(pipeline, run_id))

    def params(self, pipeline: Pipeline, run_id: str) -> StrictModel:
        """Return the parameters of a started run."""
        return pipeline.params.model_validate_json(json.dumps(self._run_document(pipeline, run_id)["params"]))

    def run(self, pipeline: Pipeline, run_id: str, observe: Observer = _ignore, before: str | None = None) -> Any:
        """Execute what is not done yet of a started run, up to ``before`` if given; return the last step's output."""
        outputs: dict[str, Any] = {}
        for name in pipeline.steps:
            if name == before:
                return None
            done = self._current_record(pipeline, name, run_id)
            observe(name, "resumed" if done else "started")
            if done and self._writes:
                self.runs.tell_outcome(run_id, done)  # which a killed process may have left undone
            if not done:
                _, outputs[name] = self._execute(pipeline, name, run_id, outputs)
                observe(name, "finished")
        return outputs.get(name) or self.output(pipeline, name, run_id)

    def step(self, pipeline: Pipeline, name: str, run_id: str) -> StepRecord:
        """Execute one step of a started run, whether or not it ran before, and return its record.

        Raises:
            UserError: when a step it needs is not done; whatever the step itself raises is recorded first.
        """
        return self._execute(pipeline, name, run_id, {})[0]

    def _execute(
        self, pipeline: Pipeline, name: str, run_id: str, outputs: Mapping[str, Any]
    ) -> tuple[StepRecord, Any]:
        """Execute a step; ``outputs`` are those that this process has just written, and need not read back."""
        step = pipeline[name]
        self._run_document(pipeline, run_id)  # report an unknown run as such, not by what its steps lack
        inputs = self._inputs(pipeline, name, run_id)
        arguments = {
            parameter: outputs[needed] if needed in outputs else self.output(pipeline, needed, run_id)
            for parameter, needed in step.needs.items()
        }
        arguments |= {resource: self._resource(pipeline, resource, run_id) for resource in step.resources}
        started, files = datetime.now(UTC), {}
        failure: Exception | None = None
        with _CapturedLog() as log:
            try:
                files = encode(step.function(**arguments))
                for file, data in files.items() if self._writes else ():
                    self.objects.write(keys.run(run_id, name, file), data)
            except Exception as error:
                failure = data_error(error, f"{pipeline.name}/{name} of run {run_id}")
                log.append(traceback.format_exc())
        record = StepRecord(
            step=name,
            status="failed" if failure else "succeeded",
            started=started,
            ended=datetime.now(UTC),
            inputs=inputs,
            outputs={file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
            error=str(failure) if failure else None,
            log=tuple(log),
        )
        if self._writes:
            self.runs.record(run_id, record)
        if failure:
            raise failure
        return record, decode(files, step.output_type)

    def output(self, pipeline: Pipeline, name: str, run_id: str) -> Any:
        """Return the output of a step that is done, after checking each file against its SHA-256."""
        record = self.record(run_id, name)
        if record is None or record.status != "succeeded":
            raise UserError(f"step {pipeline.name}/{name} of run {run_id!r} is not done; run it first")
        files = {}
        for file, sha256 in record.outputs.items():
            key = keys.run(run_id, name, file)
            data = self.objects.read(key)
            if data is None or hashlib.sha256(data).hexdigest() != sha256:
                raise UserError(f"{key} is missing or was changed; run 'mlops step {pipeline.name}/{name}' again")
            files[file] = data
        return decode(files, pipeline[name].output_type)

    def record(self, run_id: str, step: str) -> StepRecord | None:
        """Return the record of a step's latest execution, or None when it never ended."""
        return self.runs.step_record(run_id, step)

    def seconds(self, run_id: str) -> float:
        """Return the time that the steps of a run took, each in its latest execution."""
        return sum((one.ended - one.started).total_seconds() for one in self.runs.step_records(run_id))

    def _current_record(self, pipeline: Pipeline, name: str, run_id: str) -> StepRecord | None:
        record = self.record(run_id, name)
        current = record and record.status == "succeeded" and record.inputs == self._inputs(pipeline, name, run_id)
        return record if current else None

    def _inputs(self, pipeline: Pipeline, name: str, run_id: str) -> dict[str, str]:
        records = {needed: self.record(run_id, needed) for needed in pipeline[name].needs.values()}
        missing = [needed for needed, record in records.items() if record is None]
        if missing:
            raise UserError(f"{pipeline.name}/{name} needs {', '.join(missing)} first, in run {run_id!r}")
        return {needed: record.output_sha256() for needed, record in records.items() if record}

    def _resource(self, pipeline: Pipeline, name: str, run_id: str) -> Any:
        if name == "params":
            return self.params(pipeline, run_id)
        if name == "run":
            created = self._run_document(pipeline, run_id)["created"]
            return RunInfo(run_id=run_id, pipeline=pipeline.name, created=created)
        return self.resource(name)

    def _run_document(self, pipeline: Pipeline, run_id: str) -> dict[str, Any]:
        document = self.runs.document(_valid(run_id))
        if document is None:
            raise UserError(f"there is no run {run_id!r}; 'mlops status' lists the latest runs")
        if document["pipeline"] != pipeline.name:
            raise UserError(f"run {run_id!r} is a run of {document['pipeline']}, not of {pipeline.name}")
        return document


class _CapturedLog(logging.Handler):
    """A context in which what the project's packages log is also collected as lines."""

    def __enter__(self) -> list[str]:
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.getLogger().addHandler(self)
        return self.lines

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
