"""The runs of pipelines in the object store: their parameters, the records of their steps, and an index of the latest.

A run is indexed before its document exists: a process that is killed in between leaves an index entry without a run,
which is passed over. The summary of a run follows the record of each step; where a process was killed between the two,
it lacks that step until the run goes on.
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
        """Keep the record of a step's latest execution, and what it means for the run."""
        self._objects.write(keys.step_record(run_id, record.step), record.to_json())
        self.summarise(run_id, record)

    def summarise(self, run_id: str, record: StepRecord) -> None:
        """Bring a run's summary up to the record of a step; nothing is written when it has it."""
        before = self.summary(run_id)
        if before is None or (record.status == "succeeded" and record.step in before.done and before.failed is None):
            return
        done = tuple(step for step in before.done if step != record.step)
        failed = f"{record.step}: {record.error}" if record.status == "failed" else None
        change = {"done": done if failed else (*done, record.step), "failed": failed}
        self._objects.write(keys.run_summary(run_id), before.model_copy(update=change).to_json())

    def step_record(self, run_id: str, step: str) -> StepRecord | None:
        """Return the record of a step's latest execution, or None when it never ended."""
        data = self._objects.read(keys.step_record(run_id, step))
        return StepRecord.from_json(data) if data else None

    def step_records(self, run_id: str) -> list[StepRecord]:
        """Return the record of each step that ended."""
        found = [key for key in self._objects.keys(keys.run(run_id, "")) if key.endswith("/record.json")]
        return [StepRecord.from_json(self._objects.read(key) or b"") for key in found]

    def summary(self, run_id: str) -> RunSummary | None:
        """Return how a run stands: one read, two before its first step ended; None when there is no such run."""
        if data := self._objects.read(keys.run_summary(run_id)):
            return RunSummary.from_json(data)
        document = self.document(run_id)
        if document is None:
            return None
        return RunSummary(
            run_id=run_id,
            pipeline=document["pipeline"],
            created=datetime.fromisoformat(document["created"]),
            steps=tuple(document.get("steps", ())),
        )

    def latest(self, limit: int, pipeline: str = "all") -> Iterator[RunSummary]:
        """Yield the runs that were created last, of one pipeline if given, the latest first: a listing, a read each."""
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
