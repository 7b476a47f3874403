"""docs/first-day.md, line by line in one shell: the engine's cloud is a folder, S3 and KMS of the state an emulator's."""

import json

import pytest

from tests.engine.conftest import logged_in
from tests.engine.engine import Engine
from tests.engine.pages import commands, headings
from tests.engine.test_bootstrap import HERE, TOKEN, settings

pytestmark = pytest.mark.engine
PAGE = "first-day"
WALKED = ("1. Tools and accounts", "2. Settings", "3. Bootstrap", "4. Look again", "5. The environments", "Undo")
NOT_HERE = {
    "uv sync --extra aws": "installs what the tests have, and would remove the rest",
    "aws configure sso && aws sso login": "signs in to AWS",
    "aws sts get-caller-identity --query Account --output text": "asks AWS; the page's account stands in",
    "gh api repos/acme/fleet-prices --jq "
    """'"owner_id: \\(.owner.id), repository_id: \\(.id), private: \\(.private)"'""": "asks GitHub; the page's do",
}
"""Lines of the page that are not run, each with the reason."""
INSTEAD = {
    "$(gh auth token)": TOKEN,  # asks GitHub
    "pulumi login --local": 'pulumi login "$LOCAL_STATE"',  # the home of this machine's user is not the test's
    "ACCOUNT ": "123456789012 ",
}
"""What stands in for a part of a line."""
FINDS = ("uv run mlops doctor --cloud", "uv run mlops doctor")
"""Lines that end with 3, as there is work left."""


def typed(line: str) -> str:
    """Return a line of the page as it is run here."""
    for part, other in INSTEAD.items():
        line = line.replace(part, other)
    return f"{line} || test $? = 3" if line in FINDS else line


def section(heading: str) -> list[str]:
    """Return the lines under a heading as they are run here, in the root of the repository."""
    return ['cd "$ROOT"', *(typed(line) for line in commands(PAGE, heading) if line not in NOT_HERE)]


def person(engine: Engine, home: str) -> Engine:
    """Return the engine as somebody uses it who has a name for git, the settings of the page, and packages installed."""
    (engine.checkout / HERE / "Pulumi.main.yaml").write_text(settings())
    who = {f"GIT_{role}_{part}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    asked = logged_in(engine, home)
    return Engine(
        asked.bin,
        asked.folder,
        asked.checkout,
        {**asked.environ, **who, "ROOT": str(asked.checkout), "UV_NO_SYNC": "1"},
    )


def test_every_line_of_the_page_is_walked_or_has_a_reason_not_to_be():
    lines = [line for heading in headings(PAGE) for line in commands(PAGE, heading)]
    assert set(NOT_HERE) <= set(lines)
    assert all(any(part in line for line in lines) for part in INSTEAD)
    assert lines == [line for heading in WALKED for line in commands(PAGE, heading)]


def test_the_first_day_is_walked_line_by_line_to_its_end(engine, home):
    engine = person(engine, home)
    told = engine.typed(*(line for heading in WALKED[:-1] for line in section(heading)))
    assert "102 created" in told
    assert not engine.run("git", "status", "--porcelain", "--", HERE, within=".")
    assert json.loads(engine.pulumi("whoami", "--json"))["url"].startswith("s3://")
    assert "awskms://" in (engine.checkout / "infra/Pulumi.dev.yaml").read_text()
    engine.up("dev", "--expect-no-changes")
    engine.typed("cd infra", "pulumi destroy --stack dev")
    engine.typed(*section("Undo"))
    assert engine.things("main", within=HERE) == []
    assert [name.partition("@")[0] for name in engine.remains()] == ["iam_openIdConnectProvider_OpenIdConnectProvider"]
