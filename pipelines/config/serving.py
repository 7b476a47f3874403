"""The policies of serving for a request without a value of a feature view, an expired one, or no store to ask."""

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.config.errors import UserError, nearest
from pipelines.config.features import NUMERIC, FeatureView
from pipelines.config.strict import StrictModel

Default = float | str


class ViewPolicy(StrictModel):
    """``impute``: the model sees the values as missing. ``reject``: the request is refused.

    ``default``: the features named in ``defaults`` take those values, in training as in serving; the others of the
    view are missing.

    ``unreachable`` is for while the online store does not answer: the request fails, or is answered as where the view
    has no value.
    """

    missing: Literal["impute", "default", "reject"] = "impute"
    defaults: dict[str, Default] = Field(default_factory=dict)
    unreachable: Literal["fail", "as-missing"] = "fail"

    @model_validator(mode="after")
    def _defaults_where_used(self) -> Self:
        if (self.missing == "default") != bool(self.defaults):
            raise ValueError("'defaults' goes with missing = \"default\", and that needs at least one")
        if self.missing == "reject" and self.unreachable == "as-missing":
            raise ValueError('a view that rejects has nothing to answer with: unreachable = "as-missing" needs another')
        return self


class ServingConfig(StrictModel):
    """The policies of the feature views, by name; views without one have ``impute``."""

    views: dict[str, ViewPolicy] = Field(default_factory=dict)

    def check(self, views: Sequence[FeatureView]) -> None:
        """Raise a UserError unless each policy is of one of these views and its defaults of their features."""
        known = {view.name: view for view in views}
        for name, policy in self.views.items():
            where = f"serving.views.{name}"
            if name not in known:
                raise UserError(f"{where}: there is no feature view {name!r}; {nearest(name, known)}")
            features = known[name].features
            for feature, value in policy.defaults.items():
                if feature not in features:
                    raise UserError(f"{where}.defaults: no feature {feature!r}; {nearest(feature, features)}")
                wanted = "a number" if features[feature] is NUMERIC else "a text"
                if isinstance(value, str) == (features[feature] is NUMERIC) or value == "":
                    raise UserError(f"{where}.defaults.{feature}: {value!r} is not {wanted}")

    @property
    def defaults(self) -> Mapping[str, Default]:
        """The value that stands for a missing one, by feature."""
        return {feature: value for policy in self.views.values() for feature, value in policy.defaults.items()}

    def rejects(self, view: str) -> bool:
        """Say whether a request is refused when the view has no value for it."""
        return view in self.views and self.views[view].missing == "reject"

    def outlasts(self, view: str) -> bool:
        """Say whether a request is answered without the view while the online store does not answer."""
        return view in self.views and self.views[view].unreachable == "as-missing"
