"""The runs of pipelines in the object store: their parameters, the records of their steps, and an index of the latest.

A run is indexed before its document exists: a process that is killed in between leaves an index entry without a run,
which is passed over. How a run stands is derived from how its steps ended, each told by the name of an object of its
own, so processes that end steps at once lose none. A process that is killed between the record of a step and its
outcome leaves a summary without that step until the run goes on.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pipelines.config.strict import StrictModel
from pipelines.contracts import keys
from pipelines.orchestration.pipeline import StepRecord
from pipelines.storage.ports import ObjectStore


class RunSummary(StrictModel):
    """How a run stands: the steps it has, those that are done, and how the one failed that did."""

    run_id: str
    pipeline: str
    created: datetime
    steps: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    failed: str | None = None


class RunStore:
    """The runs of an environment."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def create(self, run_id: str, pipeline: str, params: dict[str, Any], steps: Iterable[str]) -> bool:
        """Record a run, its parameters and its steps, unless there is one of this id, and say whether this call did."""
        if self.document(run_id) is not None:
            return False
        created = _milliseconds(datetime.now(UTC))
        for key in keys.run_index(created, pipeline, run_id):
            self._objects.write(key, b"{}")
        document = {"pipeline": pipeline, "params": params, "steps": [*steps], "created": created.isoformat()}
        return self._objects.create(keys.run_document(run_id), json.dumps(document).encode())

    def document(self, run_id: str) -> dict[str, Any] | None:
        """Return the pipeline, parameters and time of creation of a run, or None when there is none."""
        data = self._objects.read(keys.run_document(run_id))
        return json.loads(data) if data else None

    def record(self, run_id: str, record: StepRecord) -> None:
        """Keep the record of a step's latest execution, and how it ended."""
        self._objects.write(keys.step_record(run_id, record.step), record.to_json())
        self.tell_outcome(run_id, record)

    def tell_outcome(self, run_id: str, record: StepRecord) -> None:
        """Say how an execution ended, in an object of its own: safe to do twice, and at once with other processes."""
        self._objects.write(keys.step_outcome(run_id, record.ended, record.step, record.status), b"")

    def step_record(self, run_id: str, step: str) -> StepRecord | None:
        """Return the record of a step's latest execution, or None when it never ended."""
        data = self._objects.read(keys.step_record(run_id, step))
        return StepRecord.from_json(data) if data else None

    def step_records(self, run_id: str) -> list[StepRecord]:
        """Return the record of each step that ended."""
        found = [key for key in self._objects.keys(keys.run(run_id, "")) if key.endswith("/record.json")]
        return [StepRecord.from_json(self._objects.read(key) or b"") for key in found]

    def summary(self, run_id: str) -> RunSummary | None:
        """Return how a run stands: a read and a listing, a read more where a step failed; None without such a run."""
        document = self.document(run_id)
        if document is None:
            return None
        outcomes: dict[str, str] = {}  # of each step's latest execution
        for step, status in map(keys.told_outcome, self._objects.keys(keys.step_outcomes(run_id))):
            outcomes.setdefault(step, status)
        failed = next((step for step, status in outcomes.items() if status == "failed"), None)
        record = self.step_record(run_id, failed) if failed else None
        return RunSummary(
            run_id=run_id,
            pipeline=document["pipeline"],
            created=datetime.fromisoformat(document["created"]),
            steps=tuple(document["steps"]),
            done=tuple(step for step, status in reversed(outcomes.items()) if status == "succeeded"),
            failed=f"{failed}: {record.error if record else None}" if failed else None,
        )

    def latest(self, limit: int, pipeline: str = "all") -> Iterator[RunSummary]:
        """Yield the runs that were created last, of one pipeline if given, the latest first."""
        yielded, seen, asked = 0, 0, limit
        while True:
            listed = self._objects.first(f"{keys.RUN_INDEX}{pipeline}/", asked)
            for key in listed[seen:]:
                created, _, run_id = keys.indexed_run(key)
                found = self.summary(run_id)
                if found and found.created == created:  # else its process was killed before, or another made it first
                    yield found
                    yielded += 1
                if yielded == limit:
                    return
            if len(listed) < asked:
                return
            seen, asked = len(listed), asked + limit


def _milliseconds(at: datetime) -> datetime:
    """Return the moment without what the index does not hold."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
