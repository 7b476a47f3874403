"""The replay: history up to a day, then request after request as the days pass, with everything that follows."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, wait
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pipelines.bootstrap import Platform, pipeline
from pipelines.config import AllAtOnce, Refused, ReleaseFile, Strategy, UserError, Variant
from pipelines.continuous_training import ContinuousTrainingParams, Retrained
from pipelines.contracts import keys
from pipelines.demo.plants import plant_failing_model
from pipelines.demo.story import Advance, Story
from pipelines.demo.worker import Worker
from pipelines.deployment import DeploymentParams, RolledOut
from pipelines.deployment.canary_analysis import AnalysisOutcome
from pipelines.deployment.proposal import propose_model, strategy
from pipelines.deployment.release_file import read_release, write_release
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, approve, propose
from pipelines.feature import Checked, FeatureParams, schema
from pipelines.feature.knowledge import known_now
from pipelines.feature.materialise import online_rows
from pipelines.monitor import MonitorParams, MonitorReport
from pipelines.serving.client import ServingClient
from pipelines.storage.ports import OnlineRow
from pipelines.training import Candidate, TrainingParams

_DAY = timedelta(days=1)


class Replay:
    """One run of the demo."""

    def __init__(
        self, platform: Platform, app: ServingClient, data: Worker, models: Worker, story: Story, fast: bool
    ) -> None:
        plan = platform.problem.config.replay
        if plan is None:
            raise UserError("problem.toml has no [replay]; add one to say what the demo replays")
        self.platform, self.app, self.story, self.plan = platform, app, story, plan
        self.data, self.models = data, models
        self.end = plan.fast_end if fast else plan.end
        self._pending: dict[datetime, dict[tuple[str, str], OnlineRow]] = defaultdict(dict)
        self._requests: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
        self._next: tuple[datetime, datetime, str, Future[Any]] | None = None
        self._planted = False
        self.served = self.ticks = self.runs = 0

    def learn(self) -> None:
        """Ingest the history, train on it and release the first version."""
        start, now = _midnight(self.plan.history), _midnight(self.plan.start)
        rows = self._ingest_history(start, now)
        self._start_ingest(now)
        self.story.good(
            f"{rows:,} rows of {start:%B} to {now - _DAY:%B %Y} kept their data contract and are features now"
        )
        candidate = self._train(now, "the first model", ())
        if not candidate.accepted:
            raise UserError("the first model did not pass its gates; see 'mlops explain v1'")
        self._release(candidate, AllAtOnce(), now)

    def _ingest_history(self, start: datetime, end: datetime) -> int:
        params, run_id = FeatureParams(start=start, end=end), "feature-history"
        self._work(self.data, "feature", params, "Ingesting the history", run_id)
        checked: Checked = self.platform.runner.output(pipeline("feature"), "validate", run_id)
        return sum(checked.rows.values())

    def try_worse_model(self) -> None:
        """Train only the first estimator, and see whether the gates let it replace the champion."""
        weakest = self.platform.problem.config.training.estimators[0]
        candidate = self._train(_midnight(self.plan.start), f"planted: only the {weakest}", (weakest,))
        try:
            propose(
                self.platform.release_target,
                self._actor(_midnight(self.plan.start)),
                self._file(candidate, AllAtOnce()),
            )
        except Refused:
            self.story.good(f"v{candidate.version} cannot even be proposed; the refusal is on record with its numbers")

    def serve(self) -> None:
        """Let the days pass."""
        days = list(_days(self.plan.start, self.end))
        with self.story.progress("Serving", len(days)) as advance:
            for day in days:
                since = day - _midnight(self.plan.start)
                if since and since % self.plan.monitor_every == timedelta():
                    self._monitor(day)
                if since % self.plan.ingest_every == timedelta():
                    self._finish_ingest()
                    self._start_ingest(day + self.plan.ingest_every)
                if not self._planted and day >= _midnight(self.plan.bad_release) and not self._rolling():
                    self._plant_bad_release(day)
                self._serve_day(day, advance)

    # ---- training and releases ------------------------------------------------------------------------------

    def _train(self, now: datetime, reason: str, estimators: tuple[str, ...]) -> Candidate:
        params = TrainingParams(as_of=now, reason=reason, estimators=estimators)
        candidate: Candidate = self._work(
            self.models, "training", params, f"Training {reason}", self._run_id("training", now)
        )
        self._tell_candidate(candidate)
        return candidate

    def _tell_candidate(self, candidate: Candidate | Retrained) -> None:
        assert candidate.model, "only a trained candidate is shown"
        manifest = self.platform.models.manifest(candidate.model)
        metric = self.platform.problem.config.gates.champion_comparison.metric
        quality = f"{manifest.estimator.replace('_', ' ')}, {metric} {manifest.metrics['test'][metric]:.4f}"
        if manifest.champion_model:
            quality += f" where the champion has {manifest.metrics['champion'][metric]:.4f}"
        tell = self.story.good if candidate.accepted else self.story.bad
        tell(f"v{candidate.version} {'passed' if candidate.accepted else 'was refused by'} the gates: {quality}")
        self.story.gates([gate for gate in manifest.gates if candidate.version == 1 or not gate.passed])

    def _release(
        self, candidate: Candidate | Retrained, how: Strategy, now: datetime, override: str | None = None
    ) -> None:
        release = self._file(candidate, how, override)
        actor, environment = self._actor(now), self.platform.settings.environment
        propose(self.platform.release_target, actor, release)
        write_release(self.platform.settings.releases, environment, release)
        approved = read_release(self.platform.settings.releases, environment)
        approve(self.platform.release_target, actor, approved)
        params = DeploymentParams(release=approved, as_of=now, who=actor.who)
        rolled: RolledOut = self.platform.run("deployment", params)
        self.app.wait_for(rolled.transition)
        entry = self.platform.releases.latest()
        assert entry, "a rolled-out release is in the log"
        self.story.good(f"[bold]{now:%d %b}[/] proposed, approved, deployed: {entry.summary}")

    def _file(self, candidate: Candidate | Retrained, how: Strategy, override: str | None = None) -> ReleaseFile:
        assert candidate.model and candidate.version, "only a trained candidate is released"
        released = Variant(model=candidate.model, version=candidate.version)
        return propose_model(self.platform.models, self.platform.releases.state(), released, how, override)

    def _canary(self) -> Strategy:
        return strategy(self.platform.problem.config, "canary", {})

    def _plant_bad_release(self, now: datetime) -> None:
        champion, feature = self.platform.releases.state().champion, self.plan.bad_release_feature
        assert champion, "the replay serves from the start"
        self._planted = True
        model, version, limit = plant_failing_model(self.platform.models, champion.model, feature)
        what = f"v{version}, an untested hotfix that fails where {feature} is above {limit:.1f}"
        self.story.note(f"[bold]{now:%d %b}[/] planted: {what}")
        planted = Candidate(model=model, version=version, accepted=False)
        self._release(planted, self._canary(), now, override="hotfix, no time for the gates")

    def _rolling(self) -> bool:
        return self.platform.releases.state().live

    def _actor(self, now: datetime) -> Actor:
        return Actor("demo", now)

    # ---- days -----------------------------------------------------------------------------------------------

    def _start_ingest(self, start: datetime) -> None:
        """Start the feature pipeline for the days ahead; its rows take effect online later, hour by hour."""
        end = min(start + self.plan.ingest_every, _midnight(self.end))
        if start < end:
            params = FeatureParams(start=start, end=end, online_as_of=_midnight(self.plan.start))
            run_id = f"feature-{start:%Y%m%d}"
            self._next = start, end, run_id, self.data.start("feature", params, run_id)
        else:
            self.data.load("pipelines.reporting.report")

    def _finish_ingest(self) -> None:
        """Wait for the days that were started, and prepare their feature rows and the requests to send."""
        assert self._next, "the ingest of a span starts before its first day"
        start, end, run_id, running = self._next
        running.result()
        features = self.platform.runner.output(pipeline("feature"), "engineer", run_id)
        for view in self.platform.problem.views:
            rows = known_now(features[view.versioned_name])
            for moment, (key, row) in zip(rows["effective_time"].to_pylist(), online_rows(view, rows), strict=True):
                self._pending[moment][key] = row
        config = self.platform.problem.config
        name = config.request.table
        requests = schema.read(self.platform.tables, name, config.tables[name], start=start, end=end)
        every = self.plan.request_every
        for row in requests.sort_by(config.event_time).to_pylist():
            asked = row[config.event_time]
            self._requests[start + (asked - start) // every * every].append(row)

    def _serve_day(self, day: datetime, advance: Advance) -> None:
        moments = [moment for moment in sorted(self._requests) if day <= moment < day + _DAY]
        for moment in moments:
            self._take_effect(moment)
            answers = self.app.predict(self._requests.pop(moment))
            self.served += len(answers)
            if self._rolling():
                self._tick(moment + self.plan.request_every)
        champion = self.platform.releases.state().champion
        advance(1, f"{day:%d %b %Y}  {self.served:,} predictions  champion v{champion.version if champion else '?'}")

    def _take_effect(self, moment: datetime) -> None:
        """Bring the online store up to a moment."""
        ready: dict[tuple[str, str], OnlineRow] = {}
        for effective in sorted(when for when in self._pending if when <= moment):
            ready.update(self._pending.pop(effective))
        self.platform.online.write(ready, {view.versioned_name: moment for view in self.platform.problem.views})

    def _tick(self, now: datetime) -> None:
        self.ticks += 1
        if self.ticks % self.plan.judge_every:
            return
        self.app.wait_for_log()
        platform = self.platform
        judged = tick(
            platform.problem,
            platform.tables,
            platform.predictions,
            platform.release_target,
            Actor("canary analysis", now),
        )
        if judged is None or judged.verdict.outcome is AnalysisOutcome.INSUFFICIENT:
            return
        self.app.wait_for(judged.entry.number)
        passed = judged.verdict.outcome is AnalysisOutcome.PASS
        tell = self.story.good if passed else self.story.bad
        tell(f"[bold]{now:%d %b %H:%M}[/] {'promoted' if passed else 'rolled back'} {judged.entry.summary}")

    def _monitor(self, now: datetime) -> None:
        """Run the monitor; alarms become triggers, and continuous training decides on them."""
        self.app.wait_for_log()
        self._take_effect(now)
        report: MonitorReport = self.models.start("monitor", MonitorParams(as_of=now)).result()
        for alarm in report.alarms:
            self.story.bad(f"[bold]{now:%d %b}[/] alarm {alarm.name}: {alarm.reason}")
        params = ContinuousTrainingParams(as_of=now)
        run_id = self._run_id("continuous-training", now)
        outcome: Retrained = self._work(
            self.models, "continuous_training", params, "Deciding, and training if need be", run_id
        )
        if not outcome.decision.train:
            if outcome.decision.triggers:
                self.story.note(f"[bold]{now:%d %b}[/] no training: {outcome.decision.reason}")
            return
        self._tell_candidate(outcome)
        if outcome.accepted and not self._rolling():
            self._release(outcome, self._canary(), now)

    def _run_id(self, name: str, now: datetime) -> str:
        self.runs += 1
        return f"{name}-{now:%Y%m%d}-{self.runs}"

    def _work(self, worker: Worker, name: str, params: Any, text: str, run_id: str) -> Any:
        """Run a pipeline in a worker, and show the progress of its steps."""
        records = {step: keys.step_record(run_id, step) for step in pipeline(name).steps}
        running = worker.start(name, params, run_id)
        with self.story.progress(text, len(records)) as advance:
            while records and not running.done():
                wait([running], timeout=0.1)
                step = next(iter(records))
                if self.platform.objects.read(records[step]) is not None:
                    del records[step]
                    advance(1, f"{text}: {next(iter(records), step)}")
        return running.result()


def _days(start: date, end: date) -> Iterator[datetime]:
    day = _midnight(start)
    while day < _midnight(end):
        yield day
        day += _DAY


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
