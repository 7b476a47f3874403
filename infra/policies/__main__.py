"""The rules as a policy pack: ``pulumi up --policy-pack policies`` refuses an environment that violates one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pulumi_policy import EnforcementLevel, PolicyPack, PolicyResource, StackValidationArgs, StackValidationPolicy
from pulumi_policy.proxy import UnknownValueError

from infra.policies.rules import LOCAL, RULES, Rule, rules_of
from infra.resource import UNKNOWN, Resource


def resource(one: PolicyResource) -> Resource:
    """Return what the rules look at."""
    return Resource(
        type=one.resource_type,
        name=one.name,
        urn=one.urn,
        props=known(one.props),
        provider=known(one.provider.props) if one.provider else {},
        protect=one.opts.protect,
    )


def known(value: Any) -> Any:
    """Return a property with UNKNOWN in place of what only the update will tell, at which the SDK would skip a rule."""
    if isinstance(value, Mapping):
        return {key: _at(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_at(value, index) for index in range(len(value))]
    return value


def _at(held: Any, key: Any) -> Any:
    try:
        return known(held[key])
    except UnknownValueError:
        return UNKNOWN


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
