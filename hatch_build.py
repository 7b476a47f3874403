"""Refuses to build what nobody can install beside other projects: a checkout is the unit of use."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CheckoutOnly(BuildHookInterface):
    """Lets the editable install of ``uv sync`` pass, and no other build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (Hatch's signature)
        """Refuse a wheel or a source distribution.

        Raises:
            SystemExit: with what to do instead.
        """
        if version != "editable":
            raise SystemExit(
                f"{self.metadata.name} is not built as a package: its folders model, monitoring and pipelines would"
                " collide with other packages of these names. Clone the repository and run 'uv sync', which installs"
                " the commands mlops, train, serve and job; 'make image' builds what runs elsewhere"
            )
