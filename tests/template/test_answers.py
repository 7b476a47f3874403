"""The prompts: few, each with its help, each answer checked with a message that says what is allowed."""

import pytest

from tests.template.conftest import DEFAULTS, PROMPTS, TEMPLATE

LONG = "a" * 41
WRONG = {
    "project_slug": ["9lives", "-fleet", "Fleet", "fleet_prices", "fleet--prices", "x", LONG, "flotte-é"],
    "description": [" ", "two\nlines", "d" * 201, "bell\a"],
    "author_name": [" ", "two\nlines", "n" * 101],
    "email": ["zoe", "zoe@acme", "z oe@acme.dev", 'zoe"@acme.dev', "a@b@acme.dev"],
    "github_owner": ["@acme", "acme/ratchet", "-acme", "acme_x", "a" * 40, "https://github.com/acme"],
    "approvers": ["ada", "@ada, @bob", "@acme/", "@", "ada@acme.dev", "@ada@bob"],
    "aws_region": ["Frankfurt", "eu-central", "EU-CENTRAL-1", "eu-central-1a", "us-gov-west-1", "cn-north-1"],
    "monthly_budget": ["0", "-5", "200 USD", "1,000", "0.00", "1e3", "12345678"],
}
ALLOWED = {
    "project_slug": "write 2 to 40 lower-case letters, digits and single dashes, from a letter on",
    "description": "write one line of 1 to 200 characters",
    "author_name": "write one line of 1 to 100 characters",
    "email": "write an e-mail address",
    "github_owner": "write the name of a GitHub organisation or user, without @",
    "approvers": "write GitHub handles or teams, each with its @",
    "aws_region": "write the code of a region of AWS's standard partition",
    "monthly_budget": "write an amount of USD above 0",
}
ROUNDS = [
    {name: values[at % len(values)] for name, values in WRONG.items()} for at in range(max(map(len, WRONG.values())))
]


def test_the_prompts_are_few_and_each_has_help_and_is_checked():
    assert len(PROMPTS) <= 10
    assert list(TEMPLATE["__prompts__"]) == PROMPTS
    assert [*WRONG, "licence", "init_git"] == [*ALLOWED, "licence", "init_git"] == PROMPTS


@pytest.mark.parametrize("answers", ROUNDS)
def test_each_wrong_answer_is_refused_with_what_is_allowed(run, repository, tmp_path, answers):
    given = [f"{name}={value}" for name, value in answers.items()]
    done = run("cookiecutter", str(repository), "--no-input", *given)
    assert done.returncode != 0
    for name, value in answers.items():
        assert f"{name}: {value!r} will not do; {ALLOWED[name]}" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mlflow", "text-unidecode"])
def test_a_name_of_a_package_that_the_project_needs_is_refused(run, repository, tmp_path, name):
    done = run("cookiecutter", str(repository), "--no-input", f"project_slug={name}")
    assert (done.returncode != 0, f"{name!r} is the name of a package that the project needs" in done.stderr) == (
        True,
        True,
    )
    assert list(tmp_path.iterdir()) == []


def test_the_prompts_are_answered_and_four_lines_say_what_is_next(run, repository, tmp_path):
    typed = ["fleet-prices", "Prices of a fleet", "Zoë", "zoe@acme.dev", "acme", *[""] * 4, "y"]
    done = run("cookiecutter", str(repository), typed="\n".join(typed) + "\n")
    assert done.returncode == 0, done.stderr
    for number, help_text in enumerate(TEMPLATE["__prompts__"].values(), 1):
        assert f"[{number}/{len(PROMPTS)}] {help_text}" in done.stdout
    assert "(@acme/business-owners)" in done.stdout, "a default follows from the answers before it"
    title, *steps = done.stdout[done.stdout.index("fleet-prices is ready") :].splitlines()
    assert title == "fleet-prices is ready. Next:"
    assert [step.split("#")[0].strip() for step in steps[:2]] == ["cd fleet-prices && make demo", "make doctor"]
    assert [step.strip() for step in steps[2:3]] == ["gh repo create acme/fleet-prices --private --source . --push"]
    assert len(steps) == 4
    assert DEFAULTS["project_slug"] not in done.stdout[done.stdout.index("is ready") :]
