"""A cloud provider for Pulumi's engine that keeps its cloud in a folder, named by ENGINE_CLOUD: one file a resource.

It speaks the provider protocol by the stubs of Pulumi's SDK, for the package that its first argument names, and knows of
a cloud what the tests need: outputs that exist only after creation, names that are taken, random names where a program
gives none, and inputs whose change makes a new resource. It takes every value: what AWS accepts, it does not know.
"""

import json
import os
import re
import secrets
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import Event, Lock
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi._types import resource_types
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

ACCOUNT = "123456789012"
REGION = os.environ.get("AWS_REGION", "us-east-1")
DEFAULTS = "__defaults"
"""The input that names those which a program left to the provider, as Pulumi's own providers call it."""
NAMES = ("name", "bucket", "key", "repository")
"""Inputs that may hold a resource's name, in this order."""
INVENTED = re.compile(r"(arn|id|name|url)$", re.IGNORECASE)
"""Outputs that are told, with a text, where the program gave none."""
UNIQUE = {
    "dynamodb/table:Table": "name",
    "iam/policy:Policy": "name",
    "iam/role:Role": "name",
    "lambda/function:Function": "name",
    "s3/bucket:Bucket": "bucket",
    "sagemaker/endpoint:Endpoint": "name",
    "sagemaker/endpointConfiguration:EndpointConfiguration": "name",
    "sagemaker/model:Model": "name",
    "sagemaker/pipeline:Pipeline": "pipelineName",
    "sns/topic:Topic": "name",
    "sqs/queue:Queue": "name",
    "ssm/parameter:Parameter": "name",
}
"""By type: the input that nothing else of the type may share in an account."""
RENEWS = {
    "sagemaker/model:Model": {"executionRoleArn", "primaryContainer", "vpcConfig"},
    "sagemaker/endpointConfiguration:EndpointConfiguration": {"kmsKeyArn", "productionVariants"},
    "dynamodb/table:Table": {"hashKey"},
    "sqs/queue:Queue": {"fifoQueue"},
    "kms/key:Key": {"customerMasterKeySpec", "keyUsage"},
    "ec2/vpc:Vpc": {"cidrBlock"},
    "ec2/subnet:Subnet": {"availabilityZone", "cidrBlock", "vpcId"},
}
"""By type: the inputs, besides its name, whose change makes a new resource (https://registry.terraform.io)."""
ANSWERS: dict[str, dict[str, Any]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": {
        "names": [f"{REGION}{zone}" for zone in "abc"],
        "zoneIds": [f"zone-{zone}" for zone in "abc"],
        "id": REGION,
    },
    "aws:ssoadmin/getInstances:getInstances": {"arns": ["arn:aws:sso:::instance/one"], "identityStoreIds": ["d-1"], "id": "1"},
}  # fmt: skip
"""What functions answer, by token."""
_IMPORTS = Lock()


def plain(struct: Any) -> dict[str, Any]:
    """Return a message's values as JSON has them."""
    return dict(json_format.MessageToDict(struct))


def struct(values: dict[str, Any]) -> Any:
    """Return values as a message."""
    return json_format.ParseDict(values, Struct())


def kind_of(urn: str) -> str:
    """Return the type of a resource within its package, such as ``s3/bucket:Bucket``."""
    return urn.split("::")[2].rpartition("$")[2].partition(":")[2]


@cache
def declared(package: str, kind: str) -> dict[str, Any]:
    """Return the types of a resource's outputs, as its class in the SDK declares them."""
    module, _, name = kind.rpartition(":")
    place = {"lambda": "lambda_", "index": ""}.get(service := module.partition("/")[0], service)
    with _IMPORTS:
        return resource_types(getattr(import_module(f"pulumi_{package}.{place}".rstrip(".")), name))


def outputs(package: str, kind: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what a cloud would tell about a resource that was made of inputs."""
    service = kind.partition("/")[0]
    place = {"iam": f":{ACCOUNT}:", "s3": "::"}.get(service, f"{REGION}:{ACCOUNT}:")
    arn = f"arn:aws:{service}:{place}{'' if service == 's3' else kind.rpartition(':')[2].lower() + '/'}{name}"
    texts = [key for key, its in declared(package, kind).items() if its is str and INVENTED.search(key)]
    made = {key: arn if key.lower().endswith("arn") else f"{key}-of-{name}" for key in texts}
    return {**made, **{key: value for key, value in inputs.items() if key != DEFAULTS}}


class Cloud:
    """Resources of a package, one file each in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, kind: str, identity: str) -> Path:
        """Return the file of a resource."""
        return self._folder / (re.sub(r"[^\w.@-]+", "_", f"{kind}@{identity}") + ".json")

    def find(self, kind: str, identity: str) -> dict[str, Any] | None:
        """Return a resource's inputs and outputs; None where it is gone."""
        file = self.file(kind, identity)
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def put(self, urn: str, identity: str, inputs: dict[str, Any], told: dict[str, Any]) -> None:
        """Keep a resource."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = {"urn": urn, "id": identity, "inputs": inputs, "outputs": told}
        self.file(kind_of(urn), identity).write_text(json.dumps(kept), encoding="utf-8")


class Provider(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]
    """Answers the engine for a package."""

    def __init__(self, package: str, cloud: Cloud) -> None:
        self._package, self._cloud = package, cloud

    def Handshake(self, request: Any, context: Any) -> Any:
        """Take secrets in the clear, as the engine encrypts what they come back in."""
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """Be of the SDK's version, which is the one that programs ask for."""
        return plugin_pb2.PluginInfo(version=version(f"pulumi-{self._package}"))

    def GetSchema(self, request: Any, context: Any) -> Any:
        """Name the package, which is all that the engine asks of a schema here."""
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": self._package}))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        """Take any configuration."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Tell what changed; none of it makes a new provider."""
        changed = plain(request.old_inputs) != plain(request.news)
        differs = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=differs)

    def Configure(self, request: Any, context: Any) -> Any:
        """Ask for previews too."""
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        """Give a random name where the program gives none, and keep it from then on."""
        inputs, before, kind = plain(request.news), plain(request.olds), kind_of(request.urn)
        key = UNIQUE.get(kind)
        if key and key not in inputs:
            logical = request.urn.rpartition("::")[2]
            seed = request.randomSeed.hex()[:7] or secrets.token_hex(4)[:7]
            inputs[key] = before.get(key) or f"{logical}-{seed}"
            inputs[DEFAULTS] = [key]
        return provider_pb2.CheckResponse(inputs=struct(inputs))

    def Diff(self, request: Any, context: Any) -> Any:
        """Compare inputs; a new resource that keeps its name can only come after the old one is gone."""
        before, after, kind = plain(request.old_inputs), plain(request.news), kind_of(request.urn)
        differ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        changed = sorted(differ - set(request.ignoreChanges) - {DEFAULTS})
        renews = [key for key in changed if key in {*NAMES, UNIQUE.get(kind), *RENEWS.get(kind, ())}]
        named = UNIQUE.get(kind)
        keeps_name = named and named not in after.get(DEFAULTS, ()) and before.get(named) == after.get(named)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=renews,
            deleteBeforeReplace=bool(keeps_name),
        )

    def Create(self, request: Any, context: Any) -> Any:
        """Make a resource, unless its name is taken; a preview knows no more than its inputs."""
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        inputs, kind = plain(request.properties), kind_of(request.urn)
        unique = inputs.get(UNIQUE.get(kind, ""))
        name = unique or next((inputs[key] for key in NAMES if key in inputs), request.urn.rpartition("::")[2])
        identity = unique or f"{name}-{secrets.token_hex(4)}"
        if self._cloud.find(kind, identity):
            called = f'Cannot create already existing {kind.rpartition(":")[2].lower()} "{name}"'
            context.abort(grpc.StatusCode.ALREADY_EXISTS, called)
        told = outputs(self._package, kind, name, inputs)
        self._cloud.put(request.urn, identity, inputs, told)
        if kind == os.environ.get("ENGINE_HANGS"):  # made, and nobody hears of it
            Event().wait()
        return provider_pb2.CreateResponse(id=identity, properties=struct(told))

    def Read(self, request: Any, context: Any) -> Any:
        """Tell what the cloud has."""
        found = self._cloud.find(kind_of(request.urn), request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        told = {**found["outputs"], **{key: value for key, value in found["inputs"].items() if key != DEFAULTS}}
        return provider_pb2.ReadResponse(id=request.id, properties=struct(told), inputs=struct(found["inputs"]))

    def Update(self, request: Any, context: Any) -> Any:
        """Change a resource; its outputs stay."""
        inputs = plain(request.news)
        gone = plain(request.old_inputs).keys() - inputs.keys()
        told = {key: value for key, value in (plain(request.olds) | inputs).items() if key not in {*gone, DEFAULTS}}
        if not request.preview:
            self._cloud.put(request.urn, request.id, inputs, told)
        return provider_pb2.UpdateResponse(properties=struct(told))

    def Delete(self, request: Any, context: Any) -> Any:
        """Remove a resource."""
        self._cloud.file(kind_of(request.urn), request.id).unlink(missing_ok=True)
        return Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        """Answer a function."""
        if request.tok not in ANSWERS:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{request.tok}: add its answer to {__file__}")
        return provider_pb2.InvokeResponse(**{"return": struct(ANSWERS[request.tok])})

    def Cancel(self, request: Any, context: Any) -> Any:
        """Take notice."""
        return Empty()


if __name__ == "__main__":
    from language_host import serve  # beside this file, from which the engine starts it

    package = sys.argv[1]
    servicer = Provider(package, Cloud(Path(os.environ["ENGINE_CLOUD"]) / package))
    serve(provider_pb2_grpc.add_ResourceProviderServicer_to_server, servicer)
