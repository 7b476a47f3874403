"""Draws an environment in Mermaid from the program's resources: components, their parts, and dependencies."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from infra.resource import Resource

_COMPONENT = "mlops:infra:"
_LEFT_OUT = {"Environment", "LocalEnvironment"}


def mermaid(resources: Sequence[Resource]) -> str:
    """Return a flowchart: a box for each component with the kinds of its parts, an arrow to each that it builds on."""
    by_urn = {one.urn: one for one in resources}
    parts: dict[str, Counter[str]] = defaultdict(Counter)
    arrows: set[tuple[str, str]] = set()
    for one in resources:
        if not one.custom or (home := _component(one, by_urn)) is None:
            continue
        parts[home][one.type.rpartition(":")[2]] += 1
        for need in one.needs:
            other = _component(by_urn[need], by_urn) if need in by_urn else None
            if other and other != home:
                arrows.add((home, other))
    boxes = [f'  {name}["<b>{name}</b><br/>{_told(kinds)}"]' for name, kinds in sorted(parts.items())]
    return "\n".join(["flowchart LR", *boxes, *(f"  {one} --> {other}" for one, other in sorted(_direct(arrows)))])


def _direct(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows without those that others make together: what is needed by way of something is not drawn."""
    beyond = set(arrows)
    while longer := {(one, last) for one, by in beyond for other, last in arrows if other == by} - beyond:
        beyond |= longer
    return {
        (one, last) for one, last in arrows if not any((one, by) in arrows and (by, last) in beyond for _, by in arrows)
    }


def _component(one: Resource, by_urn: dict[str, Resource]) -> str | None:
    """Return the outermost component but the environment itself that a resource is part of."""
    found = None
    while one.parent in by_urn:
        one = by_urn[one.parent]
        kind = one.type.removeprefix(_COMPONENT)
        if one.type.startswith(_COMPONENT) and kind not in _LEFT_OUT:
            found = kind
    return found


def _told(kinds: Counter[str]) -> str:
    return "<br/>".join(f"{kind} ({count})" if count > 1 else kind for kind, count in sorted(kinds.items()))
