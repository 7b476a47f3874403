"""MLflow: the record of runs and versions that people browse. Nothing that deploys or serves depends on it."""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.config import Manifest

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient
    from optuna.trial import FrozenTrial

_RUN_TAG = "run_id"


class Tracking:
    """Records candidates in an MLflow tracking server or database."""

    def __init__(self, uri: str, artifacts: str) -> None:
        self._uri, self._artifacts = uri, artifacts

    def prepare(self) -> None:
        """Connect, and create the tables of a new database; takes seconds, so call it beside other work."""
        self._client.search_experiments(max_results=1)

    def record(self, manifest: Manifest, digest: str, version: int, files: Mapping[str, bytes]) -> None:
        """Record a training run and its model version; recording it again changes nothing."""
        experiment = self._experiment(manifest.problem)
        known = self._client.search_runs([experiment], f"tags.{_RUN_TAG} = '{manifest.run_id}'")
        run = known[0] if known else self._create_run(experiment, f"v{version} {manifest.estimator}", manifest.run_id)
        if run.info.status != "FINISHED":
            self._log(run.info.run_id, manifest, files)
            self._register(run.info.run_id, manifest, digest, version)
            self._client.set_terminated(run.info.run_id)

    def record_search(
        self, problem: str, name: str, trials: "Sequence[FrozenTrial]", metric: str, figures: Sequence[Path]
    ) -> None:
        """Record a search as a run, and in it a run for each trial that ended; what is recorded stays as it is."""
        experiment = self._experiment(problem)
        known = self._client.search_runs([experiment], f"tags.{_RUN_TAG} = '{name}'")
        parent = (known[0] if known else self._create_run(experiment, name, name)).info.run_id
        nested = self._client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=10_000)
        recorded = {run.data.tags["trial"] for run in nested}
        for trial in trials:
            if trial.state.is_finished() and str(trial.number) not in recorded:
                self._record_trial(experiment, parent, trial, metric)
        for figure in figures:
            self._client.log_artifact(parent, str(figure))
        self._client.set_terminated(parent)

    def _record_trial(self, experiment: str, parent: str, trial: "FrozenTrial", metric: str) -> None:
        from mlflow.entities import Metric, Param

        tags = {"mlflow.parentRunId": parent, "trial": str(trial.number), "state": trial.state.name.lower()}
        run = self._client.create_run(experiment, run_name=f"trial {trial.number}", tags=tags).info.run_id
        ended = int(trial.datetime_complete.timestamp() * 1000) if trial.datetime_complete else 0
        metrics = [Metric("progress", value, ended, step) for step, value in trial.intermediate_values.items()]
        metrics += [Metric(metric, trial.value, ended, 0)] if trial.value is not None else []
        params = [Param(name, str(value)) for name, value in trial.params.items()]
        self._client.log_batch(run, metrics=metrics, params=params)
        self._client.set_terminated(run, "FAILED" if trial.state.name == "FAIL" else "FINISHED")

    def _create_run(self, experiment: str, name: str, run_id: str) -> "Run":
        return self._client.create_run(experiment, run_name=name, tags={_RUN_TAG: run_id})

    def _log(self, run: str, manifest: Manifest, files: Mapping[str, bytes]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        stamp = int(manifest.created.timestamp() * 1000)
        metrics = [
            Metric(f"{group}/{name}".replace(" ", "/").replace("=", "/"), value, stamp, 0)
            for group, values in manifest.metrics.items()
            for name, value in values.items()
        ]
        settings = [Param(name, str(value)) for name, value in manifest.settings.items()]
        params = [Param("estimator", manifest.estimator), *settings]
        params += [Param(f"snapshot {table}", str(snapshot)) for table, snapshot in manifest.data.items()]
        tags = [RunTag("commit", manifest.code.commit), RunTag("reason", manifest.reason)]
        tags += [RunTag(f"gate {gate.gate}", f"{gate.passed}: {gate.reason}") for gate in manifest.gates]
        self._client.log_batch(run, metrics=metrics, params=params, tags=tags)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                (path := Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(run, folder)

    def _register(self, run: str, manifest: Manifest, digest: str, version: int) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(manifest.problem)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if self._client.search_model_versions(f"name = '{manifest.problem}' and run_id = '{run}'"):
            return
        tags = {"model": digest, "version": str(version), "accepted": str(manifest.accepted)}
        source = self._client.get_run(run).info.artifact_uri
        self._client.create_model_version(manifest.problem, source, run, tags=tags)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        return self._client.create_experiment(name, artifact_location=self._artifacts)

    @cached_property
    def _client(self) -> "MlflowClient":
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")  # seconds; a training must not wait for an index
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        from mlflow.tracking import MlflowClient, set_tracking_uri

        if self._uri.startswith("arn:"):  # sagemaker-mlflow signs for the server that is set, not for the client's
            set_tracking_uri(self._uri)
        for chatty in ("alembic", "mlflow.store.db.utils"):  # silence the messages of a new database
            logging.getLogger(chatty).setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
