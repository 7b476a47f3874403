"""One thread for each test: these networks are small, and the tests run beside each other."""

from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
