"""The interview: takes answers from flags, from questions at a terminal, and from the sample."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.prompt import Prompt

from pipelines.config import Task, UserError, WrongUsage, nearest
from pipelines.config.strict import parse_duration
from pipelines.scaffold import answers as known
from pipelines.scaffold.answers import InterviewAnswers, resolve
from pipelines.scaffold.names import snake
from pipelines.scaffold.profile import ColumnProfile
from pipelines.scaffold.sample import Sample

COSTS: Mapping[Task, Mapping[str, str]] = {
    Task.BINARY: {"false_alarm": "Cost of a false alarm", "miss": "Cost of a missed event"},
    Task.REGRESSION: {"over": "Cost of one unit predicted too much", "under": "Cost of one unit predicted too little"},
}
_NONE = "none"


class Asker:
    """Takes an answer from its flag, else asks with a suggestion, else takes the suggestion; notes what is missing."""

    def __init__(self, flags: Mapping[str, str | None], console: Console | None) -> None:
        self._flags, self._console = flags, console
        self.missing: list[str] = []

    def given(self, flag: str) -> str | None:
        """Return the value of a flag, if it was given."""
        return self._flags.get(flag)

    def __call__(
        self, flag: str, question: str, suggestion: str | None = None, check: Callable[[str], object] = str
    ) -> str:
        """Return the answer; empty when there is none, which is noted in ``missing``.

        At a terminal an error of ``check`` is printed and the question asked again.
        """
        given = self._flags.get(flag)
        if given is not None:
            return given
        while self._console is not None:
            answer = str(Prompt.ask(question, console=self._console, default=suggestion or ...)).strip()
            try:
                check(answer)
                return answer
            except UserError as error:
                self._console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        if suggestion is None:
            self.missing.append(f"--{flag.replace('_', '-')}")
        return suggestion or ""


def interview(
    path: Path,
    sample: Sample,
    profiles: Mapping[str, ColumnProfile],
    flags: Mapping[str, str | None],
    console: Console | None,
) -> InterviewAnswers:
    """Return the answers; ``console`` is where to ask, None without a terminal.

    Raises:
        UserError: listing all missing flags, or what does not fit the sample.
    """
    times = known.suggested_times(profiles)
    if not times:
        raise UserError(_no_time(sample, profiles))
    ask = Asker(flags, console)
    name = ask("name", "Name of the problem", snake(path.stem).replace("_", "-") or "problem")
    title = ask("title", "Title", name.replace("-", " ").capitalize())

    def column(what: str) -> Callable[[str], str]:
        return lambda text: resolve(sample, text, what)

    def columns(what: str) -> Callable[[str], tuple[str, ...]]:
        return lambda text: _columns(sample, text, what)

    def expression(text: str) -> str:
        return resolve(sample, text, "label") if text in sample.given.values() else text

    when = "Column that says when the prediction is asked for"
    event_time = column("event time")(ask("event_time", when, times[0], column("event time")))
    names = "Column that names the row (or several: a,b)"
    key = columns("key")(ask("key", names, _key(profiles, event_time), columns("key")))
    labelled = "Label: a column, or an SQL expression such as minutes > 15"
    label = expression(ask("label", labelled, None, lambda text: known.labels(sample, expression(text))))
    task = _task(ask, sample, label) if label else Task.REGRESSION
    label_time, label_delay = _when(ask, sample)
    later = "Other columns known only with the label"
    outcomes = columns("known later")(ask("known_later", later, _NONE, columns("known later")))
    taken = [*key, event_time, *outcomes, *known.columns_of(label, list(sample.given))]
    entities = ", ".join(known.suggested_entities(profiles, taken)[:3]) or _NONE
    entities_given = ask("entities", "Columns whose recent labels are features", entities, columns("entity"))
    answers = InterviewAnswers(
        name=name,
        title=title,
        goal=ask("goal", "What is done with the prediction", title),
        owner=ask("owner", "Who answers for it (an address)"),
        task=task,
        key=key,
        event_time=event_time,
        label=label,
        label_time=label_time,
        label_delay=label_delay,
        outcomes=outcomes,
        entities=columns("entity")(entities_given),
        personal=_personal(ask, sample, profiles),
        currency=ask("currency", "Currency of the costs", "USD"),
        costs={cost: _cost(ask, cost, question) for cost, question in COSTS[task].items()},
    )
    if ask.missing:
        needed = ", ".join(ask.missing).replace("--label-delay", "--label-delay or --label-time")
        raise WrongUsage(f"without questions these flags are needed: {needed}")
    known.check(sample, profiles, answers)
    return answers


def _no_time(sample: Sample, profiles: Mapping[str, ColumnProfile]) -> str:
    texts = [f"{p.name} (such as {p.examples[0]!r})" for p in profiles.values() if p.type == "string" and p.examples]
    mixed = [note for note in sample.notes if "holds times" in note]
    return " ".join(
        [
            "the sample has no column of times without a missing one; a problem states when a prediction is asked for.",
            *(f"{note}." for note in mixed),
            "Write times as ISO 8601, 2024-03-01T07:00:00Z, or say how: --time-format '%d.%m.%Y %H:%M'.",
            f"Columns of text: {', '.join(texts[:8]) or 'none'}",
        ]
    )


def _key(profiles: Mapping[str, ColumnProfile], event_time: str) -> str | None:
    """Return the key to suggest: a unique column, else an entity together with the time, if that is unique."""
    single = known.suggested_key(profiles)
    entities = known.suggested_entities(profiles, [])
    return single or (f"{entities[0]},{event_time}" if entities else None)


def _task(ask: Asker, sample: Sample, label: str) -> Task:
    suggestion = known.suggested_task(known.labels(sample, label))

    def task(text: str) -> Task:
        if text not in list(Task):
            raise WrongUsage(f"task: there is no {text!r}; {nearest(text, list(Task))}")
        return Task(text)

    return task(ask("task", f"Task ({' or '.join(Task)})", suggestion.value, task))


def _when(ask: Asker, sample: Sample) -> tuple[str | None, timedelta | None]:
    """Return the column of the time at which the label is known, or else its delay."""
    time, delay = ask.given("label_time"), ask.given("label_delay")
    if time and delay:
        raise WrongUsage("give --label-time or --label-delay, not both")
    if not time and not delay:
        question = "When is the label known: after a delay such as 2d or 6h, or the column that says when"
        columns = {*sample.given, *sample.given.values()}
        either = ask("label_delay", question, None, lambda text: text in columns or _delay(text))
        time = either if either in columns else None
        delay = None if time else either
    if time:
        return resolve(sample, time, "label time"), None
    if not delay:
        return None, timedelta()  # noted as missing
    return None, _delay(delay)


def _delay(text: str) -> timedelta:
    try:
        parsed = parse_duration(text)
    except ValueError as error:
        raise WrongUsage(f"label delay: {error}") from error
    assert isinstance(parsed, timedelta), "a text is parsed or refused"
    return parsed


def _columns(sample: Sample, text: str, what: str) -> tuple[str, ...]:
    names = [part.strip() for part in text.split(",") if part.strip() and part.strip() != _NONE]
    return tuple(resolve(sample, name, what) for name in names)


def _personal(ask: Asker, sample: Sample, profiles: Mapping[str, ColumnProfile]) -> tuple[str, ...]:
    looks = ", ".join(column.name for column in profiles.values() if column.personal) or _NONE

    def columns(text: str) -> tuple[str, ...]:
        return _columns(sample, text, "personal")

    return columns(ask("personal", "Personal columns: never a feature, values not copied", looks, columns))


def _cost(ask: Asker, flag: str, question: str) -> float:
    return _number(flag, ask(flag, question, None, lambda text: _number(flag, text)) or "1")


def _number(flag: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise WrongUsage(f"{flag}: {text!r} is no number") from error
    if not 0 < number < float("inf"):
        raise WrongUsage(f"{flag}: {text} is no cost; a cost is more than 0")
    return number
