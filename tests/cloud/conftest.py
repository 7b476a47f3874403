"""Platforms on AWS' profile, each with a stack of its own on the emulator."""

import boto3
import pytest

from pipelines.bootstrap import Platform
from tests.cloud.emulator import misbehave
from tests.cloud.provision import making
from tests.conftest import PROBLEMS, make_platform


@pytest.fixture
def made(emulator):
    """What makes resources on the emulator, which behaves again afterwards."""
    with making(boto3.Session(), emulator) as resources:
        yield resources
    misbehave(emulator)


@pytest.fixture
def new_cloud(made, tmp_path):
    """Make a platform on an environment of its own; of one project when the first one's stack is given."""

    def make(problem: str = PROBLEMS[0], stack=None, **settings: object) -> Platform:
        stack = stack or made.stack()
        given = {"profile": "aws", "project": stack.project, "environment": stack.environment, "attempts": 3}
        return make_platform(tmp_path / stack.project, problem, **given, **settings)

    return make
