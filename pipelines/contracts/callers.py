"""The document of who may ask the serving app: a TOML file, which a cluster mounts and ``mlops token`` adds to."""

import re
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from pipelines.config.strict import StrictModel

CallerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class CallerToken(StrictModel):
    """The token of a caller of the serving app.

    Attributes:
        token_sha256: of the token, in hexadecimal.
        requests_per_second: that one process of the app answers its caller, also all at once; None for no limit.
    """

    token_sha256: str
    requests_per_second: float | None = Field(default=None, ge=0.01, strict=False)


class CallersFile(StrictModel):
    """The file: callers by name."""

    callers: dict[CallerName, CallerToken] = Field(min_length=1)

    @model_validator(mode="after")
    def _hashes(self) -> "CallersFile":
        """Check the hashes here, where an error shows nothing of what somebody took for one."""
        for name, caller in self.callers.items():
            if not re.fullmatch(r"[0-9a-f]{64}", caller.token_sha256):
                raise ValueError(f"the token_sha256 of {name} is no SHA-256, 64 hexadecimal digits; see 'mlops token'")
        if len({caller.token_sha256 for caller in self.callers.values()}) < len(self.callers):
            raise ValueError("two callers have one token; make each its own")
        return self
