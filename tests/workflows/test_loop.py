"""The model's way through the workflows, each of them executed by act."""

from datetime import timedelta

import pytest

from tests.conftest import HISTORY, NOW, make_platform
from tests.workflows.workplace import OWNER

pytestmark = pytest.mark.workflows

DAY = timedelta(days=1)


def test_a_worse_model_ends_in_an_issue_with_the_reasons_and_no_pull_request(workplace):
    done = workplace.run("continuous-training.yml", "workflow_dispatch", NOW, reason="a look")
    print(done.out[-6000:], done.seconds)
    assert done.ok, done.out
    assert workplace.github.pulls() == []
    (issue,) = workplace.github.open_issues()
    assert issue["title"] == "No candidate for dev may be proposed"
    assert "champion comparison" in issue["body"]
