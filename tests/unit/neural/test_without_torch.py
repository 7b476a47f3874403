import pytest

from pipelines.config import NUMERIC, UserError
from pipelines.neural import classifier


def test_without_the_extra_a_network_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("pipelines.neural.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="uv sync --extra torch"):
        classifier({"weight": NUMERIC}, 0)
