"""A trial of a search by itself, as a tuning job has it made."""

import json
import logging
import re

import pytest

from pipelines.bootstrap import pipeline
from pipelines.config import Options, Range, UserError
from pipelines.entrypoints import container
from pipelines.training.trial import Trial, best_trial, keep_trial, settings_of_trial
from pipelines.training.tuning import SearchParams
from tests.conftest import NOW, learn

pytestmark = pytest.mark.cloud

SPACE = {
    "max_iter": Range(low=2, high=40),
    "rate": Range(low=0.5, high=1),
    "warm": Options(values=(True, False)),
    "size": Options(values=(16, 32)),
}
TEXTS = {"max_iter": "25.0", "rate": "0.75", "warm": "false", "size": "32", "_tuning_objective_metric": "log_loss"}


def test_texts_become_the_settings_that_they_stand_for():
    assert settings_of_trial(SPACE, TEXTS) == {"max_iter": 25, "rate": 0.75, "warm": False, "size": 32}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [("rate", "2", "goes from 0.5 to 1"), ("size", "64", "allows 16, 32"), ("warm", None, "have no 'warm'")],
)
def test_what_is_outside_of_the_space_is_refused(name, text, reason):
    texts = {key: value for key, value in {**TEXTS, name: text}.items() if value is not None}
    with pytest.raises(UserError, match=reason):
        settings_of_trial(SPACE, texts)


@pytest.fixture(scope="module")
def searching(tmp_path_factory, mlflow_database):
    """A platform on which a search has begun, and its run."""
    from tests.conftest import make_platform

    platform = make_platform(tmp_path_factory.mktemp("searching"))
    learn(platform)
    search = pipeline("search")
    platform.runner.start(search, SearchParams(as_of=NOW, reason="test", estimators=("boosting",)), "s")
    platform.runner.run(search, "s", before="tune")
    return platform


def try_settings(platform, root, monkeypatch, **texts):
    (root / "input/config").mkdir(parents=True, exist_ok=True)
    given = {"trial": "boosting", "run_id": "s", "_tuning_objective_metric": "log_loss", **texts}
    (root / "input/config/hyperparameters.json").write_text(json.dumps(given))
    for name, value in platform.settings.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(container, "ROOT", root)
    container.train()


def test_trials_tell_their_score_and_the_best_is_the_outcome(searching, tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match="no trial of 's' was finished"):
        best_trial(searching.objects, "s")
    told = {}
    for count in ("2", "40", "2"):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            try_settings(searching, tmp_path, monkeypatch, max_iter=count)
        told[int(count)] = float(re.findall(r"\blog_loss=([-+.e\d]+);", caplog.text)[-1])
    assert len(searching.objects.keys("runs/s/trials/")) == 2
    best = best_trial(searching.objects, "s")
    assert best.settings == {"max_iter": min(told, key=told.get)}
    assert best.score == pytest.approx(min(told.values()))


def test_the_best_is_the_one_with_the_least_loss(searching):
    for score in (0.5, 0.25, 0.75):
        keep_trial(searching.objects, "other", Trial(settings={"rate": score}, score=score))
    assert best_trial(searching.objects, "other").score == 0.25


def test_a_search_is_for_one_estimator(searching):
    search = pipeline("search")
    searching.runner.start(search, SearchParams(as_of=NOW, reason="test", estimators=("baseline", "boosting")), "two")
    with pytest.raises(UserError, match="a search is for one estimator"):
        searching.runner.run(search, "two")


def test_on_one_machine_another_command_searches(searching):
    with pytest.raises(UserError, match="'mlops sweep boosting' searches"):
        searching.runner.run(pipeline("search"), "s")
