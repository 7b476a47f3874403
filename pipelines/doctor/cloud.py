"""Checks of AWS, on request: whether this machine may work on it, and whether what stacks need exists."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.contracts import Cloud
from pipelines.contracts.setup import Setup, setup_parameter
from pipelines.contracts.stack import parameter_name
from pipelines.doctor.findings import Finding, note, ok, todo
from pipelines.doctor.quotas import quotas, wanted

if TYPE_CHECKING:
    import boto3

TOLERATED = timedelta(minutes=4)
"""AWS refuses a request whose signature is 5 minutes from its own time."""
SET_UP = "docs/first-day.md has the commands"


class Caller(NamedTuple):
    """The identity of this machine's credentials, and the time of AWS.

    Attributes:
        account: twelve digits; None without a valid identity.
        arn: of the identity, or the reason why there is none.
        said_at: the time of AWS; None without an answer.
    """

    account: str | None
    arn: str
    said_at: datetime | None


def examine_cloud(session: "boto3.Session", root: Path, project: str, stated: Cloud) -> Iterator[Finding]:
    """Check region, clock, credentials, the bootstrap, the stacks and the quotas, as far as possible."""
    yield region(session.region_name, stated.region)
    caller = who(session, stated.region)
    if caller.said_at:
        yield clock(caller.said_at, datetime.now(UTC))
    if not caller.account:
        yield todo("credentials", f"{caller.arn}; 'aws sso login' or 'aws configure' gets some; no more was checked")
        return
    yield ok("credentials", caller.arn)
    account = caller.account
    yield from _asked("bootstrap", lambda: setup(session, project, account, stated.region))
    if needed := wanted(root):
        yield from _asked("quota", lambda: quotas(_client(session, "service-quotas", stated.region), needed))


def region(here: str | None, stated: str) -> Finding:
    """Check the region of this machine against that of ``cloud.toml``."""
    if here == stated:
        return ok("region", stated)
    says = f"is {here} here" if here else "is not set here"
    return todo("region", f"{says}, and {stated} in cloud.toml; run 'export AWS_REGION={stated}'")


def clock(said_at: datetime, now: datetime) -> Finding:
    """Check this machine's clock against that of AWS, to the second."""
    skew = now - said_at
    if abs(skew) <= TOLERATED:
        return ok("clock", f"within {max(1, round(abs(skew).total_seconds()))} s of AWS's")
    way = "ahead of" if skew > timedelta() else "behind"
    says = f"{round(abs(skew).total_seconds())} s {way} AWS's, which refuses what is signed so; set it by NTP"
    return todo("clock", f"{says} ('timedatectl set-ntp true', on WSL 'hwclock -s')")


def who(session: "boto3.Session", region_name: str) -> Caller:
    """Return the caller's identity; every answer of AWS, a refusal too, carries its time."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = _client(session, "sts", region_name).get_caller_identity()
    except ClientError as error:
        refused = error.response["Error"]
        return Caller(None, f"{refused.get('Code')}: {refused.get('Message')}", _date(error.response))
    except BotoCoreError as error:
        return Caller(None, str(error), None)
    return Caller(answer["Account"], answer["Arn"], _date(answer))


def setup(session: "boto3.Session", project: str, account: str, region_name: str) -> Iterator[Finding]:
    """Check that the account was bootstrapped, that its roles still exist, and which stacks it has."""
    ssm, iam = _client(session, "ssm", region_name), _client(session, "iam", region_name)
    try:
        document = ssm.get_parameter(Name=setup_parameter(project))["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        yield todo("bootstrap", f"account {account} was not set up for {project} in {region_name}; {SET_UP}")
        return
    found = Setup.from_json(document)
    missing = [role for one in found.environments.values() for role in (one.deploy, one.plan) if not _exists(iam, role)]
    if missing:
        gone = ", ".join(role.rpartition("/")[2] for role in missing)
        yield todo("bootstrap", f"{gone}: gone since; 'pulumi up' in infra/bootstrap makes it again")
    else:
        yield ok("bootstrap", f"done, for {', '.join(found.environments)}; state in {found.state}")
    for environment in found.environments:
        try:
            ssm.get_parameter(Name=parameter_name(project, environment))
            yield ok("stack", f"{environment} is provisioned")
        except ssm.exceptions.ParameterNotFound:
            yield note("stack", f"{environment} is not provisioned yet; 'pulumi up -s {environment}' in infra")


def _asked(check: str, ask: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Return a check's findings, and one more where AWS refused to answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield from ask()
    except (BotoCoreError, ClientError) as error:
        yield todo(check, f"could not be read: {error}")


def _exists(iam: Any, role: str) -> bool:
    try:
        iam.get_role(RoleName=role.rpartition("/")[2])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


def _client(session: "boto3.Session", service: str, region_name: str) -> Any:
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 2}
    config = Config(connect_timeout=3, read_timeout=10, retries=retries)
    return session.client(service, region_name=region_name, config=config)


def _date(response: dict[str, Any]) -> datetime | None:
    """Return the time of an answer, from its headers."""
    said = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(said) if said else None
