"""Deliver the image built here by digest: ``python -m infra.tools.images push dev``, then sign, attest and verify.

An image is named by its digest everywhere; its tag is the commit, which is never moved, so a second push of the same
commit finds the first. The signature is made by the environment's key in KMS, so no secret is stored; no public log
learns of it, as the project may be private.
"""

import argparse
import base64
import subprocess
from pathlib import Path
from typing import Any

import boto3

from infra.names import Names
from infra.program import stated, wanted
from pipelines.config.errors import UserError

TARGET = "sagemaker"
"""The image that SageMaker and Lambda start: it trains, runs steps, serves and ticks."""
SBOM = Path("build/steps.cdx.json")
"""What the image is made of, which is what ``steps`` is made of."""
TAKEN = "application/vnd.docker.distribution.manifest.v2+json"
"""The only manifest that both take: SageMaker knows no OCI, and neither takes an index of several platforms."""


def run(*command: str, stdin: str | None = None) -> str:
    """Run a program and return what it printed.

    Raises:
        UserError: when it is not there, or fails.
    """
    try:
        return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    except FileNotFoundError as error:
        raise UserError(f"{command[0]} is not on the path") from error
    except subprocess.CalledProcessError as error:
        raise UserError(f"{' '.join(command[:2])} failed with {error.returncode}") from error


def login(ecr: Any, names: Names) -> None:
    """Give Docker, and with it cosign, the registry's password of twelve hours."""
    (token,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(token["authorizationToken"]).decode().partition(":")
    run("docker", "login", "--username", user, "--password-stdin", names.registry, stdin=password)


def push(ecr: Any, names: Names, commit: str) -> str:
    """Push the image of a commit, unless it is there, and return its digest.

    Raises:
        UserError: when Docker fails, or what arrived is an image that SageMaker and Lambda do not take.
    """
    if found := pushed(ecr, names, commit):
        return found
    name = f"{names.registry}/{names.project}:{commit}"
    run("docker", "tag", f"{names.project}-{TARGET}:local", name)
    run("docker", "push", "--quiet", name)
    if digest := pushed(ecr, names, commit):
        return digest
    raise UserError(f"{name} was pushed, and the registry does not have it")


def pushed(ecr: Any, names: Names, commit: str) -> str | None:
    """Return the digest of a commit's image in the registry.

    Raises:
        UserError: when it is one that SageMaker and Lambda do not take.
    """
    try:
        (found,) = ecr.describe_images(repositoryName=names.project, imageIds=[{"imageTag": commit}])["imageDetails"]
    except ecr.exceptions.ImageNotFoundException:
        return None
    if (kind := found.get("imageManifestMediaType")) != TAKEN:
        raise UserError(
            f"{names.project}:{commit} is in the registry as {kind}, and SageMaker takes {TAKEN} alone: delete it"
            f" ('aws ecr batch-delete-image --repository-name {names.project} --image-ids imageTag={commit}'), build it"
            " by 'make image', which asks for that form, and push again"
        )
    digest: str = found["imageDigest"]
    return digest


def key(names: Names) -> str:
    """Return the key that signs, as cosign names it."""
    return f"awskms:///alias/{names.of('signer')}"


def sign(name: str, signer: str, sbom: Path) -> None:
    """Sign an image, and attest what it is made of."""
    quiet = ("--yes", "--use-signing-config=false", "--tlog-upload=false", "--key", signer)
    run("cosign", "sign", *quiet, name)
    run("cosign", "attest", *quiet, "--type", "cyclonedx", "--predicate", str(sbom), name)


def verify(name: str, signer: str) -> None:
    """Verify the signature of an image and of what it is made of.

    Raises:
        UserError: when one is missing or another key's.
    """
    check = ("--insecure-ignore-tlog=true", "--key", signer)
    run("cosign", "verify", *check, name)
    run("cosign", "verify-attestation", *check, "--type", "cyclonedx", name)


def main() -> int:
    """Carry out the verb; ``push`` prints ``digest=…`` and ``name=…`` for the steps after it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["push", "sign", "verify"])
    parser.add_argument("environment")
    parser.add_argument("--digest", default="", help="of the image to sign or to verify")
    parser.add_argument("--sbom", type=Path, default=SBOM)
    arguments = parser.parse_args()
    try:
        names = wanted(arguments.environment, stated(arguments.environment)).names
        name = f"{names.registry}/{names.project}@{arguments.digest}"
        ecr = boto3.client("ecr", region_name=names.region)
        login(ecr, names)
        if arguments.verb == "push":
            digest = push(ecr, names, run("git", "rev-parse", "HEAD"))
            print(f"digest={digest}\nname={names.registry}/{names.project}")  # noqa: T201
        elif arguments.verb == "sign":
            sign(name, key(names), arguments.sbom)
        else:
            verify(name, key(names))
    except UserError as error:
        parser.exit(1, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
