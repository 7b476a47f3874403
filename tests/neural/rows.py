"""Made-up rows that a network can learn from: numbers with gaps, texts, and a label that depends on both."""

import numpy as np
import pandas as pd

from pipelines.config import CATEGORICAL, NUMERIC

FEATURES = {"depot": CATEGORICAL, "weight": NUMERIC, "kind": CATEGORICAL, "queue": NUMERIC, "flat": NUMERIC}
SMALL = {"width": 16, "blocks": 1, "bins": 4, "batch_rows": 64, "epochs": 3, "dropout": 0.1}
DEPOTS = np.array(["a", "b", "c", ""], dtype=object)


def rows(count, seed=0):
    """Return rows and a quantity."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "depot": random.choice(DEPOTS, count),
            "weight": random.normal(5, 3, count).astype(np.float32),
            "kind": np.where(random.random(count) < 0.002, "rare", random.choice(["x", "y"], count)).astype(object),
            "queue": np.where(random.random(count) < 0.2, np.nan, random.gamma(2, 30, count)).astype(np.float32),
            "flat": np.float32(3.5),
        }
    )
    signal = np.sin(X["weight"]) * 2 + X["queue"].fillna(90) / 40 + (X["depot"] == "a") - 2 * (X["kind"] == "y")
    return X, (signal + random.normal(0, 0.5, count)).to_numpy()
