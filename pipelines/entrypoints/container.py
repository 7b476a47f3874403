"""The commands of the image: SageMaker starts ``train`` and ``serve``, Kubernetes starts ``job``.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html: hyperparameters, as texts, are in
``input/config``, the model in ``model``, the reason of a failure in ``output/failure``, of which 1024 characters are
shown; any exit code but 0 is a failure. A processing job writes its reason into ``output/message``.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.contracts import keys
from pipelines.entrypoints.cli.__main__ import ROOT, main, report_failure
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.settings import Node, node
from pipelines.training.torchrun import environ, processes_here, torchrun

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.orchestration.pipeline import Pipeline, StepRecord

log = logging.getLogger(__name__)


def train() -> None:
    """Run the step that the hyperparameters name, and store its output files as the job's model."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        run_step(ROOT)
    except Exception as error:
        log.exception("the training job failed")
        report_failure(error, ROOT)
        raise SystemExit(1) from None


def serve() -> None:
    """Serve on SageMaker's port, with a process for each core; SageMaker lets in who may, by IAM."""
    port, workers = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"), str(os.cpu_count() or 1)
    sys.argv = ["mlops", "serve", "--host", "0.0.0.0", "--port", port, "--workers", workers]  # noqa: S104
    sys.argv += [] if "RATCHET_CALLERS" in os.environ else ["--anyone"]
    main()


def job() -> None:
    """Run the command line in a Job, for which any exit code but 0 is a failure, and turn a refusal into 0.

    The first process of a container ignores SIGTERM unless it has a handler; this one stops, because a run resumes.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except SystemExit as ended:
        if ended.code != ExitCode.NO:
            raise


def run_step(root: Path) -> None:
    """Run a training job's step, in all processes of all its nodes, or one trial of a search.

    Raises:
        UserError: for hyperparameters that name no run or step, and whatever the step raises.
    """
    from pipelines.bootstrap import Platform
    from pipelines.config import UserError
    from pipelines.entrypoints.launch import scheduled, step_of
    from pipelines.settings import Settings

    file = root / "input/config/hyperparameters.json"
    given = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    wanted = ("run_id",) if "trial" in given else ("step", "run_id")
    if missing := [name for name in wanted if name not in given]:
        raise UserError(f"{file} has no {' and no '.join(missing)}")
    platform = Platform(Settings.read())
    if "trial" in given:
        _try(platform, given)
        return
    chosen, step = step_of(given["step"])
    run_id = scheduled(platform, chosen, given["run_id"], given.get("execution"))
    here = node(platform.settings, job=root / "input/config/resourceconfig.json")
    if here.num_nodes > 1 or processes_here() > 1:
        record = _together(platform, here, chosen, step, run_id)
    else:
        record = platform.runner.step(chosen, step, run_id)
    if here.node_rank == 0:
        folder = root / "model"
        folder.mkdir(parents=True, exist_ok=True)
        for name in record.outputs:
            (folder / name).write_bytes(platform.objects.read(keys.run(run_id, step, name)) or b"")


def _together(platform: "Platform", here: Node, chosen: "Pipeline", step: str, run_id: str) -> "StepRecord":
    """Run a step in all processes of this node, as one of all nodes, and return the record of the first process."""
    command = torchrun(here, processes_here(), ["step", f"{chosen.name}/{step}", "--run-id", run_id])
    status = subprocess.run(command, env=environ(here, platform.settings), check=False).returncode
    record = platform.runner.record(run_id, step)
    if status:
        said = record.error if record and record.status == "failed" else f"a process ended with {status}; see the log"
        raise RuntimeError(said)
    assert record, "the first process records the step before any ends"
    return record


def _try(platform: "Platform", given: dict[str, str]) -> None:
    """Run a trial of a tuning job, and store its score."""
    from pipelines.bootstrap import pipeline
    from pipelines.training.trial import keep_trial, make_trial

    search, run_id = pipeline("search"), given["run_id"]
    frame, split = (platform.runner.output(search, name, run_id) for name in ("extract", "prepare"))
    trial = make_trial(platform.problem, given["trial"], given, frame, split, platform.checkpoints / run_id)
    keep_trial(platform.objects, run_id, trial)
