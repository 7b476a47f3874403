"""What infrastructure and the pipelines agree on; the one room of ``pipelines`` that ``infra`` may import.

Infrastructure needs the documents that both sides read and write, and no vocabulary of models.
"""

from pipelines.contracts.cloud import Cloud
from pipelines.contracts.stack import Stack

__all__ = ["Cloud", "Stack"]
