"""What every place that runs are left to promises; tests/cloud asks SageMaker's adapter, tests/cluster the Jobs'."""

from datetime import timedelta

import pytest

from pipelines.bootstrap import pipeline
from pipelines.config import UserError
from pipelines.feature import FeatureParams
from tests.conftest import HISTORY
from tests.e2e.load import until

FEATURE = pipeline("feature")


def keeps_its_promises(platform, compute=None) -> None:
    """A run is known when it was started, and a success when its steps' records say so.

    ``compute`` is who runs the steps where the place itself, an emulator, does not.
    """
    executions, runner = platform.executions, platform.runner
    with pytest.raises(UserError, match="'days'"):
        executions.outcome(runner, FEATURE, "days")
    with pytest.raises(UserError, match="'days'"):
        executions.cancel("days")
    assert not executions.knows("days")
    runner.start(FEATURE, FeatureParams(start=HISTORY, end=HISTORY + timedelta(days=2)), "days")
    for _ in range(2):  # which does no harm; moto alone forgets the token that makes both the same execution
        assert executions.start(FEATURE, "days")
    assert executions.knows("days")
    assert executions.outcome(runner, FEATURE, "days").status != "succeeded"
    if compute:
        compute(FEATURE, "days")
    until(lambda: executions.outcome(runner, FEATURE, "days").status == "succeeded", 120)
