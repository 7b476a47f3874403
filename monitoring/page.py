"""The pages' templates."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def filled(template: str, **values: Any) -> str:
    """Return a page of the folder ``templates``; values are text, not markup, unless the template says ``safe``."""
    templates = Environment(loader=PackageLoader("monitoring"), undefined=StrictUndefined, autoescape=True)
    return templates.get_template(f"{template}.html.j2").render(**values)
