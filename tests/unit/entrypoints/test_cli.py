"""Each command of the command line: its panel, its examples, and its help on a terminal of 80 columns."""

import io
import os
import re
import shlex
import subprocess
import sys
import textwrap

import pytest
import typer.main
from rich.console import Console
from typer.testing import CliRunner

from pipelines.entrypoints.cli import __main__, terminal  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.app import PANELS, app
from pipelines.orchestration.catalog import PIPELINES
from pipelines.orchestration.runs import RunStore
from tests.conftest import PROBLEMS, make_platform

WITHOUT_JSON = {
    "serve", "watch", "demo", "render", "cancel", "step", "problem new", "release schema", "workflow publish",
    "github propose", "github approve", "github follow", "github comment", "github issue", "github status",
}  # fmt: skip
ONE_LINE = 66  # characters that a command's first line has in the panels of 80 columns


def walk(command, path=()):
    """Yield the words and the object of each command below a group."""
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from walk(inner, (*path, name))
        else:
            yield (*path, name), inner


def examples(command):
    return [line.strip() for line in (command.epilog or "").splitlines()[1:]]


ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = dict(walk(ROOT_COMMAND))
each_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def test_the_panels_hold_each_command_once_and_show_it_in_their_order():
    listed = [name for names in PANELS.values() for name in names]
    assert list(ROOT_COMMAND.commands) == listed
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("name", ROOT_COMMAND.commands)
def test_a_command_is_described_in_one_line_of_its_panel(name):
    (first, *_) = ROOT_COMMAND.commands[name].help.split("\n\n")
    assert first.endswith(".")
    assert len(first) <= ONE_LINE
    assert re.search(rf"│ {name} +{re.escape(first)} +│", shown([]))


@each_command
def test_each_example_of_a_command_is_a_command_line_it_takes(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("token.txt", "preview.md", "drift.md", "none.md"):  # options that want a file that is there
        (tmp_path / name).touch()
    root = typer.main.get_command(app)
    root.callback, reached = None, []
    for words, command in walk(root):
        command.callback = lambda words=words, **_: reached.append(words)
    found = examples(COMMANDS[path])
    for example in found:
        program, *arguments = shlex.split(re.sub(r" > [a-z.]+$", "", example))
        assert program == "mlops"
        root.main(arguments, standalone_mode=False)
    assert reached == [path] * len(found)
    assert found


@pytest.mark.parametrize("path", [("run",), ("follow",), ("step",)])
def test_an_example_names_a_pipeline_that_exists(path):
    for example in examples(COMMANDS[path]):
        assert example.split()[2].partition("/")[0] in PIPELINES


@each_command
def test_help_fits_80_columns_and_tears_no_text(path):
    text, command = shown(path), COMMANDS[path]
    assert max(map(len, text.splitlines())) <= 80
    assert not {"<bool>", "…"} & set(re.findall(r"<bool>|…", text))
    for paragraph in command.help.split("\n\n"):
        for line in textwrap.wrap(paragraph, 78, break_on_hyphens=False):
            assert line in text, "a paragraph fills its lines"
    for parameter in command.params:
        named = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
        assert re.search(rf"{re.escape(named)}\b", text), "an option is not folded"
        assert (parameter.metavar or "") in text
    for example in examples(command):
        assert example in text, "an example is not broken"


def test_the_help_of_the_program_fits_80_columns_and_lists_exit_codes():
    text = shown([])
    assert max(map(len, text.splitlines())) <= 80
    assert "Exit codes: 0 done, 1 error, 2 wrong usage, 3 the answer is no, 130 Ctrl-C" in text
    assert "<bool>" not in text


@each_command
def test_wrong_usage_of_any_command_ends_with_2(path):
    assert CliRunner().invoke(app, [*path, "--no-such-option"]).exit_code == 2


@each_command
def test_what_a_script_would_read_is_offered_as_json(path):
    has = any("--json" in parameter.opts for parameter in COMMANDS[path].params)
    assert has != (" ".join(path) in WITHOUT_JSON)


def test_the_version_names_the_project_and_the_python():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, bool(re.fullmatch(r"[\w-]+ \d+\.\d+\.\d+, Python 3\.\d+\.\d+\n", done.output))) == (0, True)


@pytest.mark.parametrize(("arguments", "heavy"), [
    (["--help"], {"pydantic", "pyarrow", "numpy", "pandas"}),
    (["status"], {"pyarrow", "numpy", "pandas", "sklearn", "onnx", "mlflow"}),
])  # fmt: skip
def test_a_command_that_answers_at_once_loads_nothing_heavy(tmp_path, arguments, heavy):
    assert RunStore(make_platform(tmp_path).objects).create("days", "training", {}, ["pin"])
    code = "import sys; from pipelines.entrypoints.cli.__main__ import app; app(standalone_mode=False); "
    command = [sys.executable, "-c", code + "print(*sys.modules)", "--home", str(tmp_path), *arguments]
    environ = {**os.environ, "RATCHET_PROBLEM": PROBLEMS[0]}
    *told, modules = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told
    assert not heavy & set(modules.split())


ROWS = [("v1", "[green]passed[/]", "one of the words " * 9), ("v12", "not judged", "short")]


@pytest.mark.parametrize("width", [80, 50])
def test_on_a_terminal_a_row_is_a_line_and_its_text_ends_in_an_ellipsis(monkeypatch, width):
    lines = printed(monkeypatch, Console(width=width, force_terminal=True, color_system=None, file=io.StringIO()))
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert lines[1].split()[:2] == ["v1", "passed"]
    assert lines[1].rstrip().endswith("…")
    assert lines[2].split() == ["v12", "not", "judged", "short"]


def test_a_pipe_gets_whole_rows(monkeypatch, capsys):
    printed(monkeypatch, Console(width=80, force_terminal=False, file=io.StringIO()))
    assert ROWS[0][2].strip() in capsys.readouterr().out


def test_a_text_that_goes_on_does_so_below_its_beginning(monkeypatch):
    console = Console(width=40, force_terminal=True, color_system=None, file=io.StringIO())
    monkeypatch.setattr(terminal, "console", console)
    terminal.print_pairs([("champion", "v4"), ("because", "word " * 12)])
    first, second, *more = (line.rstrip() for line in console.file.getvalue().splitlines())
    assert (first, second[:10]) == ("champion  v4", "because   ")
    assert more and all(line.startswith(" " * 10 + "word") for line in more)


def printed(monkeypatch, console):
    monkeypatch.setattr(terminal, "console", console)
    terminal.print_table(("model", "gates", "because"), ROWS)
    return console.file.getvalue().splitlines()


def shown(path):
    """Return the help of a command on a terminal of 80 columns."""
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    return done.output
