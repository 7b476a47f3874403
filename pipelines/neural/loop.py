"""The training loop, from the first step to the final weights; it reads top to bottom.

Optimiser: AdamW (Loshchilov & Hutter 2019), fused into one kernel, warmed up and then annealed by a cosine. The result
is an exponential moving average of the weights, from the epoch with the least loss on the held-out rows.
"""

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipelines.config import Task
from pipelines.neural.checkpoint import Checkpoints, State
from pipelines.neural.data import Batch, Batches
from pipelines.neural.group import ProcessGroup
from pipelines.neural.network import TabularNetwork
from pipelines.neural.settings import NetworkSettings

log = logging.getLogger(__name__)

LARGEST_GRADIENT = 1.0  # its norm; a larger one is scaled down
SLICE = 65_536  # rows of one forward pass without gradients


@dataclass
class History:
    """The history of a training: the loss of each step, the held-out loss of each epoch, and the time."""

    losses: list[float] = field(default_factory=list)
    holdout: list[float] = field(default_factory=list)
    seconds: float = 0.0
    rows: int = 0
    stalled: float = 0.0


@dataclass(frozen=True)
class LoopWatch:
    """Callbacks of a training: ``epoch`` gets the number and the held-out loss, ``step`` is called after each step."""

    epoch: Callable[[int, float], None] = lambda _epoch, _loss: None
    step: Callable[[], None] = lambda: None


def train(
    network: TabularNetwork,
    task: Task,
    data: Batches,
    holdout: Batch,
    seed: int,
    group: ProcessGroup,
    checkpoints: Checkpoints | None = None,
    watch: LoopWatch = LoopWatch(),
) -> History:
    """Train ``network`` in place on ``data``, resuming from the last checkpoint, and return what happened.

    Raises:
        SystemExit: 143, after SIGTERM, when the state is on disk.
    """
    settings, device = network.settings, group.device
    size = _batch_rows(data.rows, settings, group.world)
    steps = data.steps(size, group.world)
    network.to(device)
    torch.manual_seed(seed * 1_000_003 + group.rank)  # of dropout; the weights are made already

    # The optimiser, the average, and the compiled model that computes the loss.
    optimizer = torch.optim.AdamW(_decayed(network, settings), lr=settings.learning_rate, betas=(0.9, 0.95), fused=True)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
    model: nn.Module = DistributedDataParallel(network) if group.world > 1 else network
    if settings.compile == "always" or (settings.compile == "auto" and device.type == "cuda"):
        model = torch.compile(model)  # type: ignore[assignment]
    half = settings.precision == "bfloat16" or (
        settings.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)

    # The state, which a checkpoint brings back.
    best: State = {"loss": math.inf, "epoch": -1, "network": network.state_dict()}
    losses = torch.zeros(settings.epochs * steps, device=device)
    step, shared, scores = 0, 0, list[float]()  # shared: how many losses are means over the processes already
    if checkpoints and (state := checkpoints.load()):
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        _set_random(state["random"][group.rank], device)
        best, scores, step = state["best"], state["scores"], state["step"]
        losses[:step], shared = state["losses"].to(device), step
        log.info("resumed step=%d of=%d", step, settings.epochs * steps)

    def snapshot() -> State:
        return {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": group.gather(_random(device)),
            "best": best,
            "scores": scores,
            "step": step,
            "losses": losses[:step],
        }

    began, first = time.perf_counter(), step
    with _deterministic(settings.deterministic), _interrupted(group.world == 1) as interrupted:
        while step < settings.epochs * steps and len(scores) - 1 - best["epoch"] < settings.patience:
            epoch = len(scores)
            network.train()
            for batch in data.batches(epoch, size, step - epoch * steps, group.rank, group.world):
                for parameters in optimizer.param_groups:
                    parameters["lr"] = learning_rate(step, settings.epochs * steps, settings)
                for number, part in enumerate(batch.parts(settings.accumulate), start=1):
                    with autocast, _no_sync(model, number < settings.accumulate):
                        loss = loss_of(model(part.numbers, part.codes), part.labels, task) / settings.accumulate
                        loss.backward()
                    losses[step] += loss.detach()
                nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
                optimizer.step()
                optimizer.zero_grad()
                average.update_parameters(network)
                step += 1
                watch.step()
                stopping = bool(interrupted)
                if checkpoints and (step % settings.checkpoint_steps == 0 or stopping):
                    losses[shared:step], shared = group.mean(losses[shared:step]), step
                    state = snapshot()
                    if group.rank == 0:
                        checkpoints.save(state)
                if stopping:
                    if checkpoints:
                        checkpoints.wait()
                    raise SystemExit(128 + signal.SIGTERM)
            score = evaluate(average.module, task, holdout, group)
            scores.append(score)
            if score < best["loss"]:
                kept = {name: value.clone() for name, value in average.module.state_dict().items()}
                best = {"loss": score, "epoch": epoch, "network": kept}
            log.info("epoch=%d holdout_loss=%.5f best=%.5f", epoch, score, best["loss"])
            watch.epoch(epoch, score)
    losses[shared:step] = group.mean(losses[shared:step])
    if checkpoints:
        checkpoints.wait()
    network.load_state_dict(best["network"])
    seconds = time.perf_counter() - began
    return History(losses[:step].tolist(), scores, seconds, (step - first) * size, data.stalled)


def loss_of(logits_RK: Tensor, labels_R: Tensor, task: Task) -> Tensor:
    """Return the mean loss over rows and members, of which each learns alone: log loss, or squared error."""
    labels_RK = labels_R.unsqueeze(1).expand_as(logits_RK)
    if task is Task.BINARY:
        return functional.binary_cross_entropy_with_logits(logits_RK.float(), labels_RK)
    return functional.mse_loss(logits_RK.float(), labels_RK)


def learning_rate(step: int, total: int, settings: NetworkSettings) -> float:
    """Return the learning rate of a step: a linear warm-up, then a cosine down to a hundredth."""
    warm = max(1, round(settings.warmup * total))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def logits(network: nn.Module, rows: Batch) -> Tensor:
    """Return the mean logit over the members for each row, [rows], in float32."""
    network.eval()
    numbers, codes = rows.numbers.split(SLICE), rows.codes.split(SLICE)
    return torch.cat([network(*part).mean(-1) for part in zip(numbers, codes, strict=True)])


def evaluate(network: nn.Module, task: Task, rows: Batch, group: ProcessGroup) -> float:
    """Return the loss over rows; each process computes it for a part of them."""
    part = Batch(*(tensor[group.rank :: group.world] for tensor in rows))
    loss = loss_of(logits(network, part).unsqueeze(1), part.labels, task) * len(part.labels)
    return float(group.mean(loss)) * group.world / len(rows.labels)


def _batch_rows(rows: int, settings: NetworkSettings, world: int) -> int:
    """Return the rows of a step: as set, or fewer so that an epoch has four steps, divisible among processes."""
    parts = settings.accumulate * world
    size = min(settings.batch_rows, max(rows // 4, 1)) // parts * parts
    if not size:
        raise ValueError(f"{rows} rows are too few for {parts} parts of a batch")
    return size


def _decayed(network: nn.Module, settings: NetworkSettings) -> list[dict[str, object]]:
    """Return the parameters in two groups: matrices of layers decay; biases, scales and embeddings do not."""
    decayed = [layer.weight for layer in network.modules() if isinstance(layer, nn.Linear)]
    others = [p for p in network.parameters() if not any(p is one for one in decayed)]
    return [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]


def _no_sync(model: nn.Module, more: bool) -> AbstractContextManager[None]:
    """Return a context without gradient exchange between processes, for all but the last part of a batch."""
    inner = getattr(model, "_orig_mod", model)
    return inner.no_sync() if more and isinstance(inner, DistributedDataParallel) else nullcontext()  # type: ignore[no-any-return]


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Let torch use deterministic algorithms, or refuse where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses, says torch's note on it
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _interrupted(alone: bool) -> Iterator[list[int]]:
    """Catch SIGTERM, which a spot instance gets two minutes before its end, instead of dying.

    One of several processes dies all the same, because they would have to agree at each step on when to stop.
    """
    received: list[int] = []
    if not alone:
        yield received
        return
    try:
        before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    except ValueError:  # not the main thread: signals are not ours
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _random(device: torch.device) -> Tensor:
    """Return the state of the generator that dropout draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
