import json
from datetime import timedelta

import optuna
import pytest

from pipelines.bootstrap import pipeline
from pipelines.config import Budget, Options, Problem, ProblemConfig, Range, UserError, parse_toml
from pipelines.training.search import open_study, seconds, space_of, used_up, winner, work
from pipelines.training.search_plots import draw
from pipelines.training.tuning_job import tuning_job
from tests.conftest import NOW, ROOT

optuna.logging.set_verbosity(optuna.logging.WARNING)
TEXT = (ROOT / "tests/problems/late/problem.toml").read_text()
LATE = Problem.load("tests.problems.late")


@pytest.fixture(scope="module")
def data(learned):
    """Frame and split of a platform that has learned, for its own problem."""
    return [learned.runner.output(pipeline("training"), name, "first") for name in ("extract", "prepare")]


def changed(problem, **training):
    """Return a problem with other parts of [training]."""
    config = problem.config
    return Problem(problem.package, config.model_copy(update={"training": config.training.model_copy(update=training)}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low = 2, high = 40", "low = 40, high = 2", "low 40 must be below high 2"),
        ("low = 2, high = 40", "low = 0, high = 40", "a logarithmic range starts above 0"),
        ("low = 2, high = 40", "lo = 2, high = 40", "did you mean 'low'?"),
        ('values = ["piecewise", "periodic"]', 'values = ["piecewise"]', "at least 2 items"),
        ("price_per_hour = 0.5", "", "needs the price_per_hour"),
        ("trials = 6", "trails = 6", "did you mean 'trials'?"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(old, new, message):
    assert old in TEXT
    with pytest.raises(UserError) as error:
        parse_toml(TEXT.replace(old, new), ProblemConfig, "problem.toml")
    assert message in str(error.value)


def test_a_space_is_tried_before_the_search_begins():
    assert space_of(LATE, "boosting") == {"max_iter": Range(low=2, high=40, log=True)}
    with pytest.raises(UserError, match=r"no \[training.search.baseline\]"):
        space_of(LATE, "baseline")
    with pytest.raises(UserError, match="no estimator 'bosting'; did you mean 'boosting'"):
        space_of(LATE, "bosting")
    wrong = changed(LATE, search={"boosting": {"max_itre": Range(low=1, high=2)}})
    with pytest.raises(UserError, match="max_itre"):
        space_of(wrong, "boosting")


def test_money_is_time_of_workers():
    assert Budget(money=5, price_per_hour=0.5).worker_seconds == 10 * 3600
    assert Budget().worker_seconds is None


def study_of(tmp_path, durations, running=0):
    study = open_study(tmp_path, "test")
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    for number, duration in enumerate(durations):
        trial = optuna.trial.create_trial(params={"x": 0.1 * number}, distributions=space, value=1.0 / (number + 1))
        trial.datetime_start = trial.datetime_complete - timedelta(seconds=duration)
        study.add_trial(trial)
    for _ in range(running):
        study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))
    return study


def test_a_budget_ends_with_its_trials_or_its_money(tmp_path):
    study = study_of(tmp_path, [1800, 1800], running=1)
    assert seconds(study) == 3600
    assert used_up(study, Budget(trials=3))
    assert not used_up(study, Budget(trials=4))
    assert used_up(study, Budget(trials=9, money=2, price_per_hour=2))
    assert not used_up(study, Budget(trials=9, money=2.1, price_per_hour=2))


def test_a_search_without_a_finished_trial_is_reported(tmp_path):
    with pytest.raises(UserError, match="no trial was finished"):
        winner(study_of(tmp_path, []))


@pytest.mark.slow
def test_trials_find_better_settings_and_prune_what_falls_behind(tmp_path, learned, data):
    space = {"boosting": {"max_iter": Range(low=1, high=60, log=True)}}
    problem = changed(learned.problem, search=space, budget=Budget(trials=16))
    study = open_study(tmp_path, "test", 1)
    work(study, problem, "boosting", *data)
    values = [trial.value for trial in study.trials if trial.value is not None]
    assert len(study.trials) == 16
    assert winner(study)["max_iter"] > 8
    assert study.best_value < max(values)
    assert any(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    figures = draw(study, "loss", tmp_path)
    assert [figure.name for figure in figures] == ["history.png", "importance.png", "parallel.png"]
    assert all(figure.stat().st_size > 10_000 for figure in figures)
    before = [trial.params for trial in study.trials]
    work(open_study(tmp_path, "test"), problem, "boosting", *data)
    assert [trial.params for trial in open_study(tmp_path, "test").trials] == before, (
        "a search that ended stays as it is"
    )


def test_time_ends_a_search_and_the_trial_under_way(tmp_path, learned, data):
    space = {"boosting": {"max_iter": Range(low=1, high=60)}}
    problem = changed(learned.problem, search=space, budget=Budget(trials=10_000, minutes=1 / 60))
    study = open_study(tmp_path, "test")
    work(study, problem, "boosting", *data)
    assert 1 <= len(study.trials) < 1000


def test_a_tuning_job_has_the_same_search():
    search = {
        "boosting": {
            "max_iter": Range(low=2, high=40, log=True),
            "rate": Range(low=0.5, high=1),
            "warm": Options(values=(True, False)),
            "size": Options(values=(16, 32)),
        }
    }
    config = changed(LATE, search=search, budget=Budget(trials=20, minutes=90, money=1, price_per_hour=0.5)).config
    job = tuning_job(config, "boosting", workers=4)
    assert json.loads(json.dumps(job)) == job
    assert job["HyperParameterTuningJobObjective"] == {"Type": "Minimize", "MetricName": "log_loss"}
    assert job["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": 20,
        "MaxParallelTrainingJobs": 4,
        "MaxRuntimeInSeconds": 1800,  # two hours that the money buys, shared by four
    }
    assert job["ParameterRanges"] == {
        "IntegerParameterRanges": [
            {"Name": "max_iter", "MinValue": "2", "MaxValue": "40", "ScalingType": "Logarithmic"}
        ],
        "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.5", "MaxValue": "1", "ScalingType": "Linear"}],
        "CategoricalParameterRanges": [
            {"Name": "warm", "Values": ["true", "false"]},
            {"Name": "size", "Values": ["16", "32"]},
        ],
    }


def test_what_sagemaker_cannot_limit_is_reported():
    short = changed(LATE, budget=Budget(minutes=1)).config
    with pytest.raises(UserError, match="at least 120 s"):
        tuning_job(short, "boosting")
    with pytest.raises(UserError, match=r"no \[training.search.none\]"):
        tuning_job(LATE.config, "none")


@pytest.mark.slow
def test_workers_share_a_study_and_the_best_goes_before_the_gates(new_platform, tmp_path):
    from typer.testing import CliRunner

    from pipelines.entrypoints.cli.__main__ import app
    from pipelines.feature import FeatureParams
    from tests.conftest import HISTORY

    platform = new_platform()
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW))
    environ = platform.settings.variables()
    given = ["sweep", "boosting", "--as-of", f"{NOW:%Y-%m-%d}", "--workers", "2", "--run-id", "search"]
    told = CliRunner().invoke(app, given, env=environ)
    assert told.exit_code in (0, 3), told.output
    study = open_study(platform.home / "sweeps" / "search", "search")
    assert 6 <= len(study.trials) <= 7
    candidate = platform.runner.output(pipeline("training"), "register", "search-best")
    manifest = platform.models.manifest(candidate.model)
    assert manifest.settings["max_iter"] == study.best_params["max_iter"]
    assert {gate.gate for gate in manifest.gates} >= {"absolute_quality", "onnx_parity"}
    client = platform.tracking._client
    experiment = client.get_experiment_by_name("parcel-late").experiment_id
    parent = client.search_runs([experiment], "tags.run_id = 'search'")[0].info.run_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert len(children) == len(study.trials)
    again = CliRunner().invoke(app, given, env=environ)
    assert again.exit_code == told.exit_code
    assert len(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")) == len(children)
