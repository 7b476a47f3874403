"""The interview: takes answers from flags, from questions at a terminal, and from the sample."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.prompt import Prompt

from pipelines.config import Task, UserError, WrongUsage, nearest
from pipelines.config.strict import parse_duration
from pipelines.scaffold import answers as known
from pipelines.scaffold.answers import InterviewAnswers, resolve
from pipelines.scaffold.names import snake
from pipelines.scaffold.plan import periods
from pipelines.scaffold.profile import ColumnProfile, profile
from pipelines.scaffold.sample import Reading, Sample, read_sample

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
        self.taken = {flag: value for flag, value in flags.items() if value is not None}

    @property
    def complete(self) -> bool:
        """Whether every question was answered."""
        return bool(self.taken) and not self.missing

    @property
    def there(self) -> bool:
        """Whether somebody is there to be asked."""
        return self._console is not None

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
                self.taken[flag] = answer
                return answer
            except UserError as error:
                self._console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        if suggestion is None:
            self.missing.append(f"--{flag.replace('_', '-')}")
        else:
            self.taken[flag] = suggestion
        return suggestion or ""

    def as_flags(self) -> str:
        """Return the answers so far as flags of ``mlops problem new``, quoted for a shell."""
        told = [(f"--{flag.replace('_', '-')}", value) for flag, value in self.taken.items()]
        return " ".join(f"{flag} {shlex.quote(value)}" for flag, value in told)


def read_with_answers(path: Path, reading: Reading, ask: Asker) -> tuple[Sample, Reading]:
    """Return the sample, and how it was read: what can be read in several ways is asked about, as is the event time.

    Raises:
        UserError: when somebody must decide and nobody is there, or no column is a time.
    """
    reading = _joined(reading, ask.given("event_time") or "")
    while (sample := read_sample(path, reading)).questions:
        if not ask.there:
            raise WrongUsage("\n".join(_undecided(sample)))
        for name, (text, answers) in sample.questions.items():
            choices = ", ".join(f"{answer} ({meaning})" for answer, meaning in answers.items())

            def chosen(answer: str, answers: Mapping[str, str] = answers) -> None:
                if answer not in answers:
                    raise WrongUsage(f"{answer!r} is none of {', '.join(answers)}")

            how = ask(f"read:{name}", f"{text}: {choices}", next(iter(answers)), chosen)
            reading = reading._replace(read=(*reading.read, f"{name}={how}"))
            del ask.taken[f"read:{name}"]
    if ask.given("event_time"):
        return sample, reading
    times = known.suggested_times(profile(sample))

    def event_time(text: str) -> None:
        again = read_sample(path, _joined(reading, text))
        name = _event_time(again, text)
        _refuse(known.wrong_event_time(again, profile(again), name))

    if not times and not ask.there:
        raise UserError(_no_time(sample, profile(sample)))
    when = "Column that says when the prediction is asked for (or two: date,hour)"
    answer = ask("event_time", when, times[0] if times else None, event_time)
    joined = _joined(reading, answer)
    return (read_sample(path, joined), joined) if joined.joined else (sample, reading)


def _joined(reading: Reading, event_time: str) -> Reading:
    parts = tuple(part.strip() for part in event_time.split(",") if part.strip())
    return reading._replace(joined=parts if len(parts) > 1 else ())


def _event_time(sample: Sample, text: str) -> str:
    return next(reversed(sample.given)) if "," in text else resolve(sample, text, "event time")


def _undecided(sample: Sample) -> list[str]:
    """Return what can be read in several ways, with the flag for each."""
    return [
        f"{text}: "
        + ", ".join(f"--read {shlex.quote(name)}={answer} ({meaning})" for answer, meaning in answers.items())
        for name, (text, answers) in sample.questions.items()
    ]


def _refuse(wrong: Sequence[str]) -> None:
    if wrong:
        raise UserError("\n".join(wrong))


def interview(
    path: Path, sample: Sample, profiles: Mapping[str, ColumnProfile], ask: Asker, zone: str = "UTC"
) -> InterviewAnswers:
    """Return the answers, from flags and questions; the event time is answered before.

    Raises:
        UserError: listing all missing flags, or what does not fit the sample.
    """
    event_time = _event_time(sample, ask.taken["event_time"])
    _refuse(known.wrong_event_time(sample, profiles, event_time))
    name = ask("name", "Name of the problem", snake(path.stem).replace("_", "-") or "problem")
    title = ask("title", "Title", name.replace("-", " ").capitalize())

    def columns(what: str) -> Callable[[str], tuple[str, ...]]:
        return lambda text: _columns(sample, text, what)

    def expression(text: str) -> str:
        return resolve(sample, text, "label") if text in sample.given.values() else text

    def names_one(text: str) -> None:
        _refuse(known.wrong_key(sample, profiles, columns("key")(text)))

    suggested = known.suggested_key(sample, profiles, event_time)
    names = "Column that names the row (or several: a,b; or none: rows are numbered)"
    key = columns("key")(ask("key", names, ",".join(suggested) if suggested else None, names_one))
    labelled = "Label: a column, or an SQL expression such as minutes > 15"
    label = expression(ask("label", labelled, None, lambda text: known.labels(sample, expression(text))))
    task = _task(ask, sample, label) if label else Task.REGRESSION
    label_time, label_delay = _when(ask, sample, profiles, event_time)
    later = "Other columns known only with the label"

    def known_later(text: str) -> None:
        both = {*key, event_time} & {*columns("known later")(text)}
        _refuse([f"{name} is known only with the label, so it can be neither key nor event time" for name in both])

    outcomes = columns("known later")(ask("known_later", later, _NONE, known_later))
    taken = [*key, event_time, *outcomes, *known.columns_of(label, list(sample.given))]
    entities = ", ".join(known.suggested_entities(profiles, taken)[:3]) or _NONE

    def whole(text: str) -> None:
        found = columns("entity")(text)
        _refuse([f"entity: {name} is missing in some rows" for name in found if profiles[name].missing])
        late = {*outcomes, *known.columns_of(label, list(sample.given)), label_time} & {*found}
        _refuse([f"{name} is known only with the label, so it cannot be an entity" for name in late])

    entities_given = ask("entities", "Columns whose recent labels are features", entities, whole)
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
        zone=zone,
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
            "A date and an hour in two columns are --event-time date,hour.",
            f"Columns of text: {', '.join(texts[:8]) or 'none'}",
        ]
    )


def _task(ask: Asker, sample: Sample, label: str) -> Task:
    suggestion = known.suggested_task(known.labels(sample, label))

    def task(text: str) -> Task:
        if text not in list(Task):
            raise WrongUsage(f"task: there is no {text!r}; {nearest(text, list(Task))}")
        return Task(text)

    return task(ask("task", f"Task ({' or '.join(Task)})", suggestion.value, task))


def _when(
    ask: Asker, sample: Sample, profiles: Mapping[str, ColumnProfile], event_time: str
) -> tuple[str | None, timedelta | None]:
    """Return the column of the time at which the label is known, or else its delay."""
    first, last = profiles[event_time].low, profiles[event_time].high
    assert isinstance(first, datetime) and isinstance(last, datetime), "an event time"

    def fits(text: str) -> None:
        if text in columns:
            _refuse(known.wrong_label_time(sample, profiles, event_time, resolve(sample, text, "label time")))
        else:
            periods(last - first, _delay(text))

    time, delay = ask.given("label_time"), ask.given("label_delay")
    if time and delay:
        raise WrongUsage("give --label-time or --label-delay, not both")
    if not time and not delay:
        question = "When is the label known: after a delay such as 2d or 6h, or the column that says when"
        columns = {*sample.given, *sample.given.values()}
        either = ask("label_delay", question, None, fits)
        time = either if either in columns else None
        delay = None if time else either
        if time:
            ask.taken["label_time"] = ask.taken.pop("label_delay")
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
