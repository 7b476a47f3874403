"""The rules as a policy pack: ``pulumi up --policy-pack policies`` refuses an environment that violates one."""

from collections.abc import Callable

from pulumi_policy import EnforcementLevel, PolicyPack, PolicyResource, StackValidationArgs, StackValidationPolicy

from infra.policies.rules import RULES, Rule
from infra.resource import Resource


def resource(one: PolicyResource) -> Resource:
    """Return what the rules look at."""
    return Resource(
        type=one.resource_type,
        name=one.name,
        urn=one.urn,
        props=dict(one.props),
        provider=dict(one.provider.props) if one.provider else {},
        protect=one.opts.protect,
    )


def policy(rule: Rule) -> StackValidationPolicy:
    """Return a rule as a policy of the pack."""

    def validate(args: StackValidationArgs, report: Callable[[str, str | None], None]) -> None:
        for line in rule([resource(one) for one in args.resources]):
            report(line, None)

    return StackValidationPolicy(rule.__name__.replace("_", "-"), str(rule.__doc__), validate)


def main() -> None:
    """Serve the pack to Pulumi."""
    PolicyPack("environments", [policy(rule) for rule in RULES], EnforcementLevel.MANDATORY)


if __name__ == "__main__":
    main()
