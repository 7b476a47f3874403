"""Distributed training: the command with which torchrun starts ``mlops step`` in several processes.

The same on one machine, in SageMaker training jobs and in Kubernetes Indexed Jobs; ``pipelines.settings`` reads the
rank of a node from each of them.
"""

import os
import sys
from collections.abc import Sequence

from pipelines.config import UserError
from pipelines.settings import Node, Settings

PORT = 29_500


def meeting(node: Node) -> dict[str, str]:
    """Return the variables of the rendezvous: on the loopback of one machine, or at the job's master address.

    Without them Gloo looks up the machine's own name, which takes minutes where no name server answers.
    """
    if node.num_nodes == 1:
        return {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), node.interface) if node.interface else {}


def environ(node: Node, settings: Settings) -> dict[str, str]:
    """Return the variables of the processes; those of this process take precedence over the rendezvous."""
    return {**meeting(node), **os.environ, **settings.variables()}


def processes_here() -> int:
    """Return how many processes train on this machine: one for each GPU, or one where there is none."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return 1
    from pipelines.neural.group import gpus

    return max(1, gpus())


def torchrun(node: Node, processes: int, command: Sequence[str]) -> list[str]:
    """Return the command that runs ``mlops COMMAND`` in so many processes of this machine, as part of all machines.

    Raises:
        UserError: when the extra is not installed, or a machine's number is not below their count.
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UserError("several processes train by torch: install it with 'uv sync --extra torch'")
    if not 0 <= node.node_rank < node.num_nodes:
        raise UserError(f"node {node.node_rank} of {node.num_nodes}: ranks go from 0 to one below the count")
    together = [
        f"--nnodes={node.num_nodes}",
        f"--node-rank={node.node_rank}",
        f"--master-addr={node.master_addr}",
        f"--master-port={PORT}",
    ]
    how = ["--standalone"] if node.num_nodes == 1 else together
    launcher = [sys.executable, "-m", "torch.distributed.run", *how, f"--nproc-per-node={processes}"]
    return [*launcher, "-m", "pipelines.entrypoints.cli", *command]
