"""``mlops problem check``: each of its refusals fires, on the statement alone and on the rows of a day."""

from datetime import UTC, datetime

import pytest

from pipelines.config import Problem, Task
from pipelines.scaffold.check import errors

DAY = datetime(2024, 1, 20, tzinfo=UTC)
LABEL = 'sql = "late"'
NUMBER = {"label": "price", "over": "1", "under": "2"}


@pytest.fixture
def faults(make, monkeypatch, request):
    """Return the faults of a written problem after one change to a file of it, also on the rows of ``day``."""

    def check(file, old, new, day=DAY, **flags):
        folder = make(folder=f"made_{abs(hash(request.node.name))}", **flags)
        monkeypatch.syspath_prepend(str(folder.parent))
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        return errors(folder.name, day)

    return check


@pytest.mark.parametrize("period", ["validation", "test"])
@pytest.mark.parametrize(("length", "refused"), [("2h", True), ("6h", True), ("7h", False)])
def test_a_period_no_longer_than_the_delay_of_labels_is_refused(faults, period, length, refused):
    found = faults("problem.toml", f"\n{period} = ", f'\n{period} = "{length}" # ', None)
    told = (
        f"training.{period}: {length} is no longer than label.delay, 6h, so no label of the period is known by its end; "
        "write 12h or more"
    )
    assert found == ([told] if refused else [])


@pytest.mark.parametrize(
    ("sql", "flags", "told"),
    [
        ("late * 2", {}, "label.sql, 'late * 2', gives 2 for id 'r"),
        ("late * CAST('inf' AS DOUBLE)", {}, "gives inf for id 'r"),
        ("price * CAST('inf' AS DOUBLE)", NUMBER, "a label is finite; label.sql"),
        ("shop", {}, "label.sql: 'shop' is text; compare it with what is the event"),
        ("CAST(shop AS DOUBLE)", {}, "label.sql fails on the rows of 2024-01-20: Conversion Error"),
        ("late * 0", {}, "24 requests of 2024-01-20 have a label 1d 6h later: too few, or too much alike"),
        ("CASE WHEN id = 'none' THEN 1 END", {}, "0 requests of 2024-01-20 have a label"),
    ],
)  # fmt: skip
def test_labels_that_nothing_can_learn_from_are_refused(faults, sql, flags, told):
    found = faults("problem.toml", f'sql = "{flags.get("label", "late")}"', f'sql = "{sql}"', **flags)
    assert len(found) == 1, found
    assert told in found[0]


def test_a_label_that_is_nan_is_none_and_no_fault(faults):
    sql = "CASE WHEN id LIKE '%0' THEN CAST('nan' AS DOUBLE) ELSE price END"
    assert faults("problem.toml", 'sql = "price"', f'sql = "{sql}"', **NUMBER) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("problem.toml", "\nmin_samples_leaf = ", "\nmin_samples_leaf = -", "estimators.gradient_boosting: cannot be fitted on the rows: InvalidParameterError: "),
        ("problem.toml", "\nmin_samples_leaf = ", "\nmin_samples_leaves = ", "training.settings.gradient_boosting: "),
        ("estimators.py", 'numbers = make_pipeline(SimpleImputer(keep_empty_features=True), ', "numbers = make_pipeline(None.x, ", "AttributeError: 'NoneType' object has no attribute 'x'"),
        ("source.py", "return", "raise OSError('the warehouse is away')\n    return", "the warehouse is away"),
        ("problem.toml", "min_rows_per_day = 8", "min_rows_per_day = 25", "24"),
        ("problem.toml", "price = { type = \"float\", min = -30, max = 70 }", "price = { type = \"float\", max = 1 }", "price"),
    ],
    ids=["a fit", "a setting", "an estimator", "a source", "too few rows", "a bound"],
)  # fmt: skip
def test_what_fails_on_the_rows_of_a_day_is_named(faults, file, old, new, told):
    found = faults(file, old, new)
    assert any(told in line for line in found), found


def test_a_day_without_rows_is_named_where_days_may_be_empty(faults):
    day = datetime(2025, 1, 20, tzinfo=UTC)
    found = faults("problem.toml", "min_rows_per_day = 8", "min_rows_per_day = 0", day)
    assert found == ["the source has no rows of requests on 2025-01-20"]


def test_check_tells_every_error_at_once(make, monkeypatch):
    folder = make(folder="made_wrong")
    monkeypatch.syspath_prepend(str(folder.parent))
    text = (folder / "problem.toml").read_text()
    text = text.replace('sql = "late"', 'sql = "lat"').replace('"gradient_boosting"]', '"boosting"]')
    (folder / "problem.toml").write_text(text.replace('slices = ["shop"]', 'slices = ["shops"]'))
    views = (folder / "features.py").read_text().replace("FROM outcomes", "FROM outcome")
    (folder / "features.py").write_text(views)
    found = "\n".join(errors("made_wrong", None))
    for told in ("label.sql", "no estimator 'boosting'; did you mean 'gradient_boosting'?", "slices: no feature 'shops'", "the SQL of feature view 'shop_recent' fails"):  # fmt: skip
        assert told in found
    (folder / "problem.toml").write_text(text.replace("[label]", "[lable]").replace("miss =", "mis ="))
    found = "\n".join(errors("made_wrong", None))
    assert "lable: unknown key" in found
    assert "business.mis: unknown key; did you mean 'miss'?" in found


def test_check_on_the_reference_problem_finds_nothing():
    assert errors("tests.problems.minutes", None) == []
    assert Problem.load("tests.problems.minutes").config.task is Task.REGRESSION
