"""Commands and modules that stand in texts exist: Lambda handlers, containers' commands, steps, Dockerfile, Makefile."""

import importlib
import importlib.util
import json
import re
import shutil
import tomllib

import pytest
import typer

from infra.program import ROOT
from pipelines.bootstrap import pipeline
from pipelines.entrypoints.cli.__main__ import app
from pipelines.orchestration.catalog import PIPELINES
from tests.infra.environments import ACCOUNT, REGION, STACKS, changed, environment
from tests.infra.locally import objects

pytestmark = pytest.mark.infra

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = PROJECT["project"]["scripts"]
COMMANDS = typer.main.get_command(app)
APP_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
DISPATCH = {"app": "1", "installation": 2, "repository": "acme/fleet", "key": APP_KEY}


def check_function(path):
    """Import what ``package.module.name`` or ``package.module:name`` names, and see that it can be called."""
    module, _, name = path.replace(":", ".").rpartition(".")
    assert callable(getattr(importlib.import_module(module), name)), path


def check_module(name):
    """See that ``python -m name`` finds what it runs."""
    found = importlib.util.find_spec(name)
    assert found, f"there is no module {name}"
    if found.submodule_search_locations:
        assert importlib.util.find_spec(f"{name}.__main__"), f"{name} is a package that cannot be run"


def check_command(command):
    """See that the words start something of the image, with arguments that it knows."""
    program, *words = [word for word in command if isinstance(word, str)]
    assert program in SCRIPTS or shutil.which(program), f"the image has no {program}"
    if program not in SCRIPTS:
        return
    if program in {"train", "serve"}:
        assert not words
        return
    known = COMMANDS
    while words and hasattr(known, "commands"):
        assert words[0] in known.commands, f"mlops has no {words[0]}"
        known = known.commands[words.pop(0)]
    options = {option for one in known.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options, command
    if known.name == "run":
        assert words[0] in PIPELINES
    if known.name == "step":
        check_step(words[0])


def check_step(path):
    name, _, step = path.partition("/")
    assert step in pipeline(name).steps, f"{name} has no step {step}"


def found(value, key):
    """Yield what a document has under a key, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from found(item, key)


def handlers(resources):
    for each in resources:
        if each.type == "aws:lambda/function:Function":
            yield each.props["imageConfig"]["entryPoints"], each.props["imageConfig"]["commands"]


def test_the_handlers_of_functions_can_be_called():
    declared = [one for stack in STACKS for one in handlers(environment(stack))]
    declared += handlers(changed("dev", dispatch=DISPATCH))
    assert {handler for _, (handler,) in declared} > {"pipelines.entrypoints.lambda_handler.handler"}
    for entry, (handler,) in declared:
        assert entry == ["python", "-m", "awslambdaric"]  # which the image alone has
        assert PROJECT["dependency-groups"]["image"][0].startswith(entry[2])
        check_function(handler)


def test_the_commands_of_pods_are_those_of_the_image():
    ours = [
        container["command"]
        for one in objects().values()
        for containers in found(one, "containers")
        for container in containers
        if "command" in container and "thing" not in container["command"][0]
    ]
    assert len(ours) > 5
    for command in ours:
        check_command(command)


def test_the_commands_of_rendered_pipelines_are_those_of_the_image():
    rendered = json.loads((ROOT / "infra/rendered/pipelines.json").read_text())
    apps = list(found(rendered, "AppSpecification"))
    assert len(apps) > 20
    for one in apps:
        check_command(one["ContainerEntrypoint"] + one["ContainerArguments"])
    trained = list(found(rendered, "AlgorithmSpecification"))
    assert trained
    for one in trained:
        check_command(one["ContainerEntrypoint"])
    for one in found(rendered, "HyperParameters"):
        check_step(one["step"])


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_of_the_project_can_be_called(script):
    check_function(SCRIPTS[script])


def test_the_image_has_the_commands_of_the_project():
    text = (ROOT / "Dockerfile").read_text()
    (names,) = re.findall(r"for name in ([\w ]+);", text)
    (module,) = re.findall(r'-c "from ([\w.]+) import', text)
    assert {*names.split(), "mlops"} == set(SCRIPTS)
    for name in names.split():
        assert SCRIPTS[name] == f"{module}:{name}"
    (started,) = re.findall(r"exec python -m ([\w.]+) ", text)
    assert SCRIPTS["mlops"] == f"{started}.__main__:main"
    for command in re.findall(r'^CMD (\["(?:mlops|serve).*\])$', text, re.MULTILINE):
        check_command([word for word in json.loads(command) if word != "--help"])


def sources():
    for pattern in ("Makefile", "Dockerfile", "docs/**/*.md", "infra/**/*.py", "pipelines/**/*.py", ".github/**/*.yml"):
        yield from ROOT.glob(pattern)


def test_every_module_that_is_run_by_name_can_be_run():
    named = {
        module
        for path in sources()
        for module in re.findall(
            r"""-m["']?,? ["']?((?:infra|model|monitoring|pipelines|tests)[\w.]*)""", path.read_text()
        )
    }
    assert {"infra.tools.stack", "pipelines.entrypoints.cli"} <= named
    for module in named:
        check_module(module)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (check_function, "pipelines.entrypoints.lambda_handler.handle"),
        (check_function, "pipelines.entrypoints.lambda_handlers.handler"),
        (check_module, "infra.local"),
        (check_module, "infra.tools.stacks"),
        (check_command, ["mlops", "steps", "feature/extract"]),
        (check_command, ["mlops", "step", "feature/extracts"]),
        (check_command, ["mlops", "step", "feature/extract", "--run"]),
        (check_command, ["job", "run", "trainings"]),
        (check_command, ["trian"]),
    ],
)
def test_a_misspelt_name_is_found(check, given):
    with pytest.raises((AssertionError, AttributeError, ImportError, KeyError)):
        check(given)
