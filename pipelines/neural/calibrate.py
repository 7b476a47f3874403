"""Calibration: one temperature for all logits, from rows that training did not see."""

import numpy as np
import numpy.typing as npt


def temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> float:
    """Return the divisor of logits [rows] with the least log loss for labels 0 or 1, between 0.25 and 4.

    Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks. The order of the rows, and so the
    area under the curve, does not change; the base rate of the held-out weeks, which is temporary, is not learnt.
    """
    from scipy.optimize import minimize_scalar

    logits, labels = logits.astype(np.float64), labels.astype(np.float64)

    def log_loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((np.logaddexp(0, scaled) - labels * scaled).mean())

    limit = np.log(4)
    return float(np.exp(minimize_scalar(log_loss, bounds=(-limit, limit), method="bounded").x))
