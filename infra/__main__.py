"""The program of ``pulumi up``: registers the environment that the stack is named after."""

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from infra.aws.environment import Environment
from infra.aws.live import configuration
from infra.local.environment import LocalEnvironment
from infra.program import LOCAL, wanted, wanted_local
from pipelines.config.errors import UserError


def main() -> None:
    """Register all resources, or print what to change."""
    stack = pulumi.get_stack()
    try:
        if stack == LOCAL:
            pulumi.export("document", LocalEnvironment(wanted_local(CONFIG.get())).document)
            return
        if encrypted := sorted(filter(is_config_secret, CONFIG.get())):
            raise UserError(
                f"{encrypted[0]} is encrypted, but no setting of an environment is a secret, and this one would stand"
                " in plain text in the state: set it without --secret, and keep secrets in Secrets Manager"
            )
        plan = wanted(stack, CONFIG.get(), configuration)
    except UserError as error:
        raise pulumi.RunError(str(error)) from error
    environment = Environment(plan)
    pulumi.export("document", environment.document)
    pulumi.export("image", plan.config.image)  # the next update keeps it unless another is given
    if environment.serving:
        pulumi.export("endpoint", environment.serving.endpoint)
        pulumi.export("configuration", environment.serving.configuration)
    else:
        pulumi.log.info("There is no endpoint yet: push an image and name it as docs/aws.md describes.")


main()
