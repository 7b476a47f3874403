"""The rules as a policy pack: ``pulumi up --policy-pack policies`` refuses an environment that violates one."""

from collections.abc import Callable

from pulumi_policy import EnforcementLevel, PolicyPack, PolicyResource, StackValidationArgs, StackValidationPolicy

from infra.policies.rules import LOCAL, RULES, Rule, rules_of
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
        resources = [resource(one) for one in args.resources]
        for line in rule(resources) if rule in rules_of(resources) else ():
            report(line, None)

    return StackValidationPolicy(rule.__name__.replace("_", "-"), str(rule.__doc__), validate)


def main() -> None:
    """Serve the pack to Pulumi."""
    PolicyPack("environments", [policy(rule) for rule in dict.fromkeys((*RULES, *LOCAL))], EnforcementLevel.MANDATORY)


if __name__ == "__main__":
    main()
