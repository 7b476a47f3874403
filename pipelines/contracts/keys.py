"""Where everything lies in an environment's object store: the one module that spells keys.

The engine builds keys from it, and infrastructure writes permissions and lifetimes from the same prefixes. An index
lists the latest first: its keys begin with the time left until the year 2286, so a store that lists in ascending order,
as S3 does, gives the latest without the rest.
"""

from datetime import UTC, date, datetime

RUNS, RUN_INDEX = "runs/", "run-index/"
MODELS, VERSIONS = "models/", "versions/"
RELEASES, SERVING = "releases/", "serving/"
DECISIONS, MONITORING, ALERTS = "decisions/", "monitoring/", "alerts/"
PREDICTIONS, CHECKPOINTS = "predictions/", "checkpoints/"
MLFLOW, JOBS, REPORTS = "mlflow/", "jobs/", "reports/"
MATERIALISED = "materialised/"
TABLES = "tables/"
ATHENA, QUERIES = "athena/", "queries/"
"""These three are prefixes of the bucket of tables, all others of the bucket of objects."""
STACK = "stack.json"

LOCKED = (RELEASES,)
"""What is created below these is an audit record: where the bucket has an object lock, nobody can delete or replace it.

Whoever creates one there needs ``s3:PutObjectRetention``.
"""

_END = 10**13
"""Milliseconds from 1970 to November 2286: 13 digits."""
_NUMBERS = 10**9
"""Above each number that an index lists the highest first of."""


def run(run_id: str, *parts: str) -> str:
    """Return the key of a part of a run: its document, or a file of a step."""
    return RUNS + "/".join((run_id, *parts))


def run_document(run_id: str) -> str:
    """Return the key of a run's parameters."""
    return run(run_id, "run.json")


def step_outcomes(run_id: str) -> str:
    """Return the folder in which each execution of a step of a run that ended is an empty object."""
    return run(run_id, "outcomes", "")


def step_outcome(run_id: str, ended: datetime, step: str, status: str) -> str:
    """Return the key that says how an execution of a step ended."""
    return f"{step_outcomes(run_id)}{latest_first(ended)}.{status}.{step}"


def told_outcome(key: str) -> tuple[str, str]:
    """Return the step and the status that an outcome's key tells."""
    _, status, step = key.rpartition("/")[2].split(".", 2)
    return step, status


def step_record(run_id: str, step: str) -> str:
    """Return the key of the record of a step's latest execution."""
    return run(run_id, step, "record.json")


def run_index(created: datetime, pipeline: str, run_id: str) -> tuple[str, str]:
    """Return the keys by which a run is listed: among all runs, and among those of its pipeline."""
    place = f"{latest_first(created)}.{pipeline}.{run_id}"
    return f"{RUN_INDEX}all/{place}", f"{RUN_INDEX}{pipeline}/{place}"


def indexed_run(key: str) -> tuple[datetime, str, str]:
    """Return when the run of an index key was created, its pipeline and its id."""
    left, pipeline, run_id = key.rpartition("/")[2].split(".", 2)
    return datetime.fromtimestamp((_END - int(left)) / 1000, UTC), pipeline, run_id


def materialised(as_of: datetime) -> str:
    """Return the key that says that the online store was brought up to a moment."""
    return f"{MATERIALISED}{latest_first(as_of)}.json"


def latest_first(at: datetime) -> str:
    """Return 13 digits that sort a later moment before an earlier one."""
    return f"{_END - round(at.timestamp() * 1000):013d}"


def tuning_job(name: str) -> str:
    """Return the key that says which run started a tuning job."""
    return f"{JOBS}{name}.json"


def model(digest: str, name: str) -> str:
    """Return the key of a file of a candidate."""
    return f"{MODELS}{digest}/{name}"


def version(number: int) -> str:
    """Return the key that says which candidate a version is."""
    return f"{VERSIONS}{number:06d}.json"


def versions_by_number() -> str:
    """Return the folder of the index of versions, whose keys hold number and digest, the latest first."""
    return f"{VERSIONS}by-number/"


def versions_by_digest(beginning: str) -> str:
    """Return how the keys of versions begin whose candidates' digests begin so."""
    return f"{VERSIONS}by-digest/{beginning}"


def version_index(number: int, digest: str) -> tuple[str, str]:
    """Return the keys by which a version is listed: by number, and by digest."""
    return f"{versions_by_number()}{_NUMBERS - number:09d}.{digest}", f"{versions_by_digest(digest)}.{number}"


def listed_version(key: str) -> tuple[int, str]:
    """Return the number and the digest that a key of either index of versions holds."""
    first, second = key.rpartition("/")[2].split(".")
    return (_NUMBERS - int(first), second) if key.startswith(versions_by_number()) else (int(second), first)


def release_log(environment: str) -> str:
    """Return the folder of an environment's release log."""
    return f"{RELEASES}{environment}/"


def release_snapshot(environment: str) -> str:
    """Return the key of the release log's latest snapshot, which is beside the log and none of its entries."""
    return f"{RELEASES}{environment}.snapshot.json"


def instances(environment: str) -> str:
    """Return the folder in which instances of the serving app say what they serve."""
    return f"{SERVING}{environment}/"


def questions(environment: str) -> str:
    """Return the key of what commands ask the instances of the serving app, which is beside what these say."""
    return f"{SERVING}{environment}.questions.json"


def decisions(environment: str) -> str:
    """Return the folder of the decisions whether to train, the latest first."""
    return f"{DECISIONS}{environment}/all/"


def trainings(environment: str) -> str:
    """Return the folder of the decisions to train, the latest first."""
    return f"{DECISIONS}{environment}/trainings/"


def decision(folder: str, at: datetime, run_id: str) -> str:
    """Return the key of a decision in one of the folders above."""
    return f"{folder}{latest_first(at)}.{run_id}.json"


def decisions_before(folder: str, at: datetime) -> str:
    """Return a key after that of each decision of this moment or later, and before that of each earlier one."""
    return f"{folder}{latest_first(at)}/"


def drained(environment: str, number: int | None = None) -> str:
    """Return the key that says that a numbered look at the triggers was decided, or the folder of these."""
    return f"{DECISIONS}{environment}/drained/" + ("" if number is None else f"{_NUMBERS - number:09d}")


def drained_number(key: str) -> int:
    """Return the number that a key of a look at the triggers has."""
    return _NUMBERS - int(key.rpartition("/")[2])


def alert(environment: str, started: datetime, fingerprint: str) -> str:
    """Return the key that says that an alert was taken in."""
    return f"{ALERTS}{environment}/{started:%Y-%m-%dT%H%M%S}-{fingerprint}.json"


def monitor_reports(environment: str) -> str:
    """Return the folder of the monitor's reports."""
    return f"{MONITORING}{environment}/"


def monitor_report(environment: str, at: datetime) -> str:
    """Return the key of a monitor's report, of which the latest come first."""
    return f"{monitor_reports(environment)}{latest_first(at)}.json"


def predictions(environment: str, day: date | None = None) -> str:
    """Return the folder of the prediction log, or of one of its days."""
    return f"{PREDICTIONS}{environment}/" + (f"day={day}/" if day else "")
