"""The permissions of the clockwork: report how releases end, propose what follows, roll back; no data, no set-up.

Its jobs run on the main branch and in no GitHub environment, so that no required reviewer holds up a report or a
rollback (docs/workflows.md). It starts no release: that takes the deploy role, and so the environment.
"""

from infra.bootstrap.permissions.documents import Statement, allow, tagged
from infra.bootstrap.permissions.plan import read_releases, see_features
from infra.bootstrap.scope import Scope
from pipelines.contracts import keys


def clock_statements(scope: Scope, before: Scope | None) -> list[Statement]:
    """Return what an environment's clock role may do.

    Args:
        scope: the environment.
        before: where its models come from, whose champion it copies to propose it; None for the first.
    """
    own = (keys.RUNS, keys.RUN_INDEX, keys.SERVING)
    listed = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in own]}}
    written = scope.stored(keys.MODELS, keys.VERSIONS, keys.RELEASES, keys.SERVING)
    services = {"kms:ViaService": f"s3.{scope.home.region}.amazonaws.com"}
    through = {"StringEquals": {**tagged(scope.tags)["StringEquals"], **services}}
    encryption = scope.owned("kms", "key/*")
    return [
        *read_releases(scope),
        *(read_releases(before, "Before") if before else ()),
        see_features(scope),
        allow("ReadRuns", ["s3:GetObject"], scope.stored(*own)),
        allow("ListRuns", ["s3:ListBucket"], scope.owned("s3", "{name}-*"), listed),
        allow("CopyModelsAndRollBack", ["s3:PutObject"], written),
        allow("KeepReleases", ["s3:PutObjectRetention"], scope.stored(keys.RELEASES)),
        allow("EncryptThem", ["kms:GenerateDataKey"], encryption, through),
        allow("SignRollback", ["kms:Sign"], encryption, tagged(scope.tags)),
    ]
