"""Runs the program without Pulumi's engine and without AWS, and returns what it would register.

Policies, the cost table, the diagrams and the tests look at a recording. What AWS would answer are stand-ins: ARNs and
identifiers of the right form, made from the names.
"""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

from pulumi.runtime import mocks, rpc, settings, stack

from infra.aws.environment import Environment, Wanted
from infra.local.environment import LocalEnvironment, LocalWanted
from infra.resource import Resource

_LETTERS = "abcdef"

Made = Callable[[Resource], dict[str, str]]
"""Returns what is known of a resource once it is there, such as its ARN."""


def record(
    wanted: Wanted | LocalWanted, on: Callable[[Any], None] = lambda _: None, made: Made = lambda _: {}
) -> list[Resource]:
    """Return what the program registers for an environment, in the order of its names.

    ``on`` may look at outputs. ``made`` is called with each resource after those that it needs, and what it returns
    takes the place of stand-ins: so it may make the resource.
    """
    recorder = _Recorder(made)

    def program() -> Environment | LocalEnvironment:
        return LocalEnvironment(wanted) if isinstance(wanted, LocalWanted) else Environment(wanted)

    with _loop() as loop:  # first: set_mocks registers a stack on it
        mocks.set_mocks(recorder, "infra", wanted.names.environment, preview=False, monitor=_Monitor(recorder))
        settings.set_root_resource(cast("Any", None))
        loop.run_until_complete(stack.run_in_stack(lambda: on(program())))
    return sorted(recorder.resources, key=lambda one: (one.type, one.name))


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop whose threads have loops of their own, as Pulumi wants, and close them all."""
    loops = [asyncio.new_event_loop()]
    asyncio.set_event_loop(loops[0])

    def own() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    try:
        with ThreadPoolExecutor(initializer=own) as threads:
            loops[0].set_default_executor(threads)
            yield loops[0]
    finally:
        for one in loops:
            one.close()
        asyncio.set_event_loop(None)
        settings.SETTINGS.outputs.clear()  # what a program that failed left behind
        settings.SETTINGS.rpc_manager.clear()


class _Recorder(mocks.Mocks):
    """Keeps what is registered, and answers as AWS would."""

    def __init__(self, made: Made) -> None:
        self.resources: list[Resource] = []
        self.made = made
        self.request = threading.local()

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Keep a resource, and return its identifier and its state."""
        request, urn = self.request.now
        providers = {one.urn: one.props for one in self.resources if one.type.startswith("pulumi:providers:")}
        resource = Resource(
            type=args.typ,
            name=args.name,
            urn=urn,
            parent=request.parent,
            props=_plain(args.inputs),
            provider=providers.get((args.provider or "").rpartition("::")[0], {}),
            protect=request.protect,
            retain=request.retainOnDelete,
            needs=tuple(sorted(request.dependencies)),
            encrypted=frozenset(name for name, value in args.inputs.items() if rpc.is_rpc_secret(value)),
        )
        self.resources.append(resource)
        return _identifier(resource), {**resource.props, **_answers(resource), **self.made(resource)}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Answer which zones a region has: the one thing that the program asks."""
        assert args.token.endswith(":getAvailabilityZones")
        return {"names": [f"zone-{letter}" for letter in _LETTERS[:3]], "id": "zones"}, []


class _Monitor(mocks.MockMonitor):
    """The monitor of Pulumi's tests, which keeps what a request says besides the properties."""

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        recorder = cast("_Recorder", self.mocks)
        recorder.request.now = request, self.make_urn(request.parent, request.type, request.name)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def _plain(value: Any) -> Any:
    """Return properties without the wrapping of those that Pulumi keeps encrypted in its state."""
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _identifier(resource: Resource) -> str:
    digest = hashlib.sha256(resource.urn.encode()).hexdigest()[:17]
    short = {"ec2/vpc:Vpc": "vpc", "ec2/subnet:Subnet": "subnet", "ec2/securityGroup:SecurityGroup": "sg"}
    kind = short.get(resource.type.partition(":")[2])
    named = resource.props.get("bucket") or resource.props.get("name") or f"{resource.name}-{digest[:6]}"
    return f"{kind}-{digest}" if kind else str(named)


def _answers(resource: Resource) -> dict[str, str]:
    """Return stand-ins for what AWS would say of a resource: its ARN, and what is read of it elsewhere."""
    kind, digest = resource.type.rpartition("/")[2].partition(":")[0], hashlib.sha256(resource.urn.encode()).hexdigest()
    region = resource.provider.get("region", "")
    account = json.loads(resource.provider.get("allowedAccountIds", '[""]'))[0]
    name = resource.props.get("bucket") or resource.props.get("name") or digest[:12]
    arns = {
        "bucket": f"arn:aws:s3:::{name}",
        "role": f"arn:aws:iam::{account}:role/{name}",
        "policy": f"arn:aws:iam::{account}:policy/{name}",
        "key": f"arn:aws:kms:{region}:{account}:key/{digest[:8]}-{digest[8:12]}-4000-8000-{digest[12:24]}",
        "function": f"arn:aws:lambda:{region}:{account}:function:{name}",
        "table": f"arn:aws:dynamodb:{region}:{account}:table/{name}",
        "queue": f"arn:aws:sqs:{region}:{account}:{name}",
        "topic": f"arn:aws:sns:{region}:{account}:{name}",
        "eventBus": f"arn:aws:events:{region}:{account}:event-bus/{name}",
        "eventRule": f"arn:aws:events:{region}:{account}:rule/{name}",
    }
    content = json.dumps([resource.urn, resource.props], sort_keys=True, default=str)
    drawn = hashlib.sha256(content.encode()).hexdigest()[:7]  # by Pulumi, and anew when it replaces the resource
    more = {
        "queue": {"url": f"https://sqs.{region}.amazonaws.com/{account}/{name}"},
        "key": {"keyId": f"{digest[:8]}-{digest[8:12]}-4000-8000-{digest[12:24]}"},
        "vpcEndpoint": {"prefixListId": f"pl-{digest[:8]}"},
        "model": {"name": f"{resource.name}-{drawn}"},
        "endpointConfiguration": {"name": f"{resource.name}-{drawn}"},
    }
    service = resource.type.partition(":")[2].partition("/")[0]
    return {"arn": arns.get(kind, f"arn:aws:{service}:{region}:{account}:{kind}/{name}"), **more.get(kind, {})}
