"""Writes the files of a problem package, rendered from answers and plan, atomically."""

import shutil
import tempfile
import textwrap
import tomllib
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.config import Task, UserError, parse_toml
from pipelines.config.problem import ProblemConfig
from pipelines.scaffold.answers import InterviewAnswers, labels
from pipelines.scaffold.contract import declared, toml
from pipelines.scaffold.features import chosen
from pipelines.scaffold.plan import ProblemPlan, plan
from pipelines.scaffold.sample import Sample
from pipelines.scaffold.tables import KNOWN_AT, RawTables, split

FILES = (
    "__init__.py",
    "problem.toml",
    "source.py",
    "features.py",
    "estimators.py",
    "tests/__init__.py",
    "tests/test_problem.py",
)
_CATEGORIES = 20  # values, for each of which a metric is reported


def write(sample: Sample, answers: InterviewAnswers, folder: Path, replace: str | None) -> ProblemPlan:
    """Write the package into ``folder``, which is new, empty, or holds the problem named by ``replace``.

    Raises:
        UserError: when the folder holds anything else, or the sample does not make a problem.
    """
    check_place(folder, replace)
    tables = split(sample, answers)
    planned = plan(answers, tables, labels(sample, answers.label))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
        new, old = Path(made) / "new", Path(made) / "old"
        for name, text in rendered(sample, answers, tables, planned).items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text, encoding="utf-8")
        (new / "data").mkdir()
        pq.write_table(tables.requests, new / "data/requests.parquet", compression="zstd")
        pq.write_table(tables.outcomes, new / "data/outcomes.parquet", compression="zstd")
        if folder.exists():
            shutil.move(folder, old)
        shutil.move(new, folder)
    return planned


def check_place(folder: Path, replace: str | None) -> None:
    """Raise a UserError when something is in the folder that is not to be replaced."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        present = tomllib.loads((folder / "problem.toml").read_text(encoding="utf-8"))["name"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UserError(f"{folder} holds something that is no problem; choose another --output") from error
    if present != replace:
        raise UserError(
            f"{folder} holds the problem {present!r}; choose another --output, or give --replace {present} to remove "
            "the folder with all that is in it and write the new problem there"
        )


def rendered(sample: Sample, answers: InterviewAnswers, tables: RawTables, planned: ProblemPlan) -> dict[str, str]:
    """Return the text of each file, by its path in the package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 (Python and TOML, not HTML)
        loader=PackageLoader("pipelines.scaffold"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.globals["toml"] = toml
    features = chosen(answers, tables)
    content = {
        **features._asdict(),
        "answers": answers,
        "plan": planned,
        "key": tables.key,
        "docline": answers.name.replace("-", " "),
        "slices": [name for name in features.categories if tables.request_profiles[name].distinct <= _CATEGORIES][:3],
        "request_columns": _contract(sample, answers, tables, requests=True),
        "outcome_columns": _contract(sample, answers, tables, requests=False),
        "known_sentence": _known(answers),
        "preparations": _preparations(sample, answers, tables.key),
        "label_sql": ("\n" + " " * 16).join(
            textwrap.wrap(answers.label.replace("{", "{{").replace("}", "}}"), 70, break_long_words=False)
        ),
        "suffix": "Classifier" if answers.task is Task.BINARY else "Regressor",
        "linear": "LogisticRegression" if answers.task is Task.BINARY else "Ridge",
    }
    texts = {name: environment.get_template(f"{name}.j2").render(content) for name in FILES}
    parse_toml(texts["problem.toml"], ProblemConfig, "problem.toml")
    return texts


def _contract(sample: Sample, answers: InterviewAnswers, tables: RawTables, *, requests: bool) -> list[str]:
    profiles = tables.request_profiles if requests else tables.outcome_profiles
    return [
        declared(
            column,
            unique=name == tables.key,
            personal=name in answers.personal,
            given=sample.given.get(name, "") if requests or name not in tables.request_profiles else "",
        )
        for name, column in profiles.items()
    ]


def _known(answers: InterviewAnswers) -> str:
    if answers.label_time:
        return f"``{answers.label_time}``"
    assert answers.label_delay is not None, "one of the two is given"
    return "the time of the request and the delay in problem.toml"


def _preparations(sample: Sample, answers: InterviewAnswers, key: str) -> list[str]:
    """Return what was done to the columns of the file, which the real source must do as well."""
    joined = f"{key}: {', '.join(answers.key)}, joined by a slash"
    alone = f"{key}: as text" if answers.key == (key,) else f"{key}: {', '.join(answers.key)} as text"
    numbered = f"{key}: the number of the row in the sample; give each request an id of its own"
    personal = ["personal columns without their values"] if answers.personal else []
    rules = {name: rule for name, rule in sample.rules.items() if name != key}
    lines = [
        numbered if not answers.key else joined if len(answers.key) > 1 else alone,
        f"times in UTC; those without a time zone were taken as {answers.zone}",
        f"no row in outcomes until its label and ``{KNOWN_AT}`` are there",
        *personal,
        *(f"{name}: {'text' if name in answers.entities else rule}" for name, rule in rules.items()),
    ]
    escaped = (line.replace("\\", "\\\\").replace('"', "'") for line in lines)
    return ["\n".join(textwrap.wrap(line, 110, subsequent_indent="  ")) for line in escaped]
