"""The whole loop on both tiny problems, as the demo replays it."""

import json

import pytest

from tests.conftest import PROBLEMS
from tests.e2e.conftest import Mlops


@pytest.fixture(
    scope="module", params=[PROBLEMS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in PROBLEMS[1:])]
)
def demo(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    mlops = Mlops(folder / "replay", request.param)
    return mlops, mlops("demo", "--fast", "--folder", str(folder / "replay"))


def test_the_story_is_reported_without_a_failed_request(demo):
    _, done = demo
    assert done.code == 0, done.err
    assert "0 failed" in done.out
    for told in (
        "v1 passed the gates",
        "v2 was refused by the gates",
        "v2 cannot even be proposed",
        "alarm performance.bias",
        "no training: trained on 2024-03-08; the cooldown of 5d ends on 2024-03-13",
        "v4 passed the gates",
        "promoted v4",
        "planted: v5",
        "rolled back v5 to v4: it failed",
        "Where the last prediction came from:",
    ):
        assert told in done.out, told
    assert "\x1b[" not in done.out, "no colour where there is no terminal"


def test_the_stores_say_the_same_as_the_story(demo):
    mlops, _ = demo
    status = mlops("status", "--json").json
    assert status["release"]["champion"]["version"] == 4
    assert status["release"]["phase"] == "rolled back"
    assert [version["accepted"] for version in status["versions"]] == [True, False, False, True, False]
    trained = [decision for decision in status["decisions"] if decision["train"]]
    assert [decision["at"][:10] for decision in trained] == ["2024-03-08", "2024-03-14"]
    failed = status["release"]["quarantined"][status["versions"][4]["model"]]
    assert failed.startswith("it failed")


def test_the_report_holds_what_happened_and_needs_nothing_else(demo):
    mlops, _ = demo
    page = (mlops.home / "report.html").read_text()
    assert page.count("<svg") >= 6
    assert "quality over time" in page.lower()
    for link in ("http://", "https://", "<script", "<link", "src="):
        assert link not in page.replace("http://www.w3.org/", "").replace("https://www.w3.org/", ""), link


def test_the_last_prediction_leads_back_to_its_data_and_its_commit(demo):
    mlops, done = demo
    prediction = done.out.split("Where the last prediction came from:")[1].split("UTC ")[1].split()[0]
    found = mlops("lineage", prediction, "--json").json
    assert found["prediction"]["prediction_id"] == prediction
    assert found["version"] == 4
    assert found["code"]["commit"]
    assert found["data"]["raw.deliveries"] > 0


def test_a_demo_never_empties_a_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    done = Mlops(tmp_path)("demo", "--folder", str(tmp_path))
    assert (done.code, "holds something that is not an earlier demo" in done.err) == (1, True)
    assert (tmp_path / "thesis.doc").exists()


def test_the_report_command_writes_the_same_page(demo, tmp_path):
    mlops, _ = demo
    assert mlops("report", "-o", str(tmp_path / "page.html")).code == 0
    page, earlier = (tmp_path / "page.html").read_text(), (mlops.home / "report.html").read_text()
    assert page == earlier
    assert json.loads(mlops("lineage", "v4", "--json").out)["version"] == 4
