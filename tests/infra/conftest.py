"""Runs Pulumi programs without Pulumi: its runtime's mocks keep what would be registered with the engine."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, settings, stack

from tests.infra.strict_arguments import strict


@dataclass
class Registered(pulumi.runtime.Mocks):
    """What a program registered.

    Attributes:
        answers: what functions of providers answer, by token.
        resources: the inputs of each resource, by type and name.
        kept: types and names of what is protected, or stays when the stack forgets it.
        calls: functions of providers that were called.
    """

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    kept: set[tuple[str, str]] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def new_resource(self, args):
        assert (args.typ, args.name) not in self.resources, f"{args.typ} {args.name} is registered twice"
        self.resources[args.typ, args.name] = args.inputs
        named = args.inputs.get("name", args.inputs.get("bucket", args.name))
        made = {"arn": f"arn:{args.typ}:{named}", "keyId": f"{args.name}-key", "repositoryUrl": f"registry/{named}"}
        return f"{args.name}-id", made | args.inputs

    def call(self, args):
        self.calls.append(args.token)
        return self.answers[args.token]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the inputs of every resource of a type, by name."""
        return {name: inputs for (typ, name), inputs in self.resources.items() if typ == kind}


class Monitor(mocks.MockMonitor):
    """Keeps what the mocks are not told: which resources are protected or retained."""

    def RegisterResource(self, request):  # noqa: N802  (gRPC's name)
        if request.protect or request.retainOnDelete:
            self.mocks.kept.add((request.type, request.name))
        return super().RegisterResource(request)


@pytest.fixture(scope="session", autouse=True)
def _strict_arguments() -> Iterator[None]:
    """Have every resource that a test registers checked against the types of its SDK."""
    with strict():
        yield


@pytest.fixture(scope="session")
def run_program() -> Iterator[Callable[..., Registered]]:
    """Run a function that registers resources, and return what it registered."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # Pulumi wants a loop in each thread that it calls the mocks from.
    calls = ThreadPoolExecutor(1, initializer=lambda: asyncio.set_event_loop(asyncio.new_event_loop()))
    loop.set_default_executor(calls)

    def run(program: Callable[[], object], answers: dict[str, dict[str, Any]] | None = None) -> Registered:
        registered = Registered(answers or {})

        async def execute():
            settings.set_root_resource(None)
            mocks.set_mocks(registered, "program", "test", preview=False, monitor=Monitor(registered))
            await stack.run_pulumi_func(lambda: program() and None)

        loop.run_until_complete(execute())
        return registered

    yield run
    calls.submit(lambda: asyncio.get_event_loop().close()).result()
    asyncio.set_event_loop(None)
    loop.close()
