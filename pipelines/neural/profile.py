"""Profiles a training: a trace for TensorBoard or Perfetto, and one page of summary."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler

from pipelines.neural.data import Batches

WAIT, WARMUP, ACTIVE = 5, 3, 10  # steps left out, steps that warm the profiler up, steps that are recorded
_TOP = 15


@contextmanager
def profiled(folder: Path | None, device: torch.device, data: Batches) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each step; write ``summary.md`` and the trace when a folder is given.

    The trace covers :data:`ACTIVE` steps; a shorter training is summarised as far as it went.
    """
    if folder is None:
        yield lambda: None
        return
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    times: list[float] = [time.perf_counter()]
    stalls: list[float] = [data.stalled]
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []

    def on_trace(recorded: profile) -> None:
        tensorboard_trace_handler(str(folder))(recorded)
        written.append(summary(recorded, device, times[-ACTIVE - 1 :], stalls[-ACTIVE - 1 :]))

    def on_step() -> None:
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())
        stalls.append(data.stalled)
        recorded.step()

    plan = schedule(wait=WAIT, warmup=WARMUP, active=ACTIVE, repeat=1)
    with profile(
        activities=activities, schedule=plan, on_trace_ready=on_trace, profile_memory=True, with_flops=True
    ) as recorded:
        yield on_step
    few = f"The training had fewer than the {WAIT + WARMUP + ACTIVE} steps that a profile needs."
    (folder / "summary.md").write_text("\n".join(written) or few)


def summary(recorded: profile, device: torch.device, times: list[float], stalls: list[float]) -> str:
    """Return one page: time of a step, share busy and stalled, floating-point rate, memory, costly operators."""
    events = recorded.key_averages()
    steps, seconds = len(times) - 1, times[-1] - times[0]
    cuda = device.type == "cuda"
    busy = sum(event.self_device_time_total if cuda else event.self_cpu_time_total for event in events) / 1e6
    flops = sum(event.flops for event in events)
    where = torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    memory = torch.cuda.max_memory_allocated(device) if cuda else _peak_memory()
    lines = [
        "# Profile of a training",
        "",
        f"{steps} steps on {where}; the profiler itself slows them down.",
        "",
        "| | |",
        "|---|---:|",
        f"| time of a step | {seconds / steps * 1000:.2f} ms |",
        f"| device busy | {min(1, busy / seconds):.0%} |",
        f"| waiting for data | {(stalls[-1] - stalls[0]) / seconds:.1%} |",
        f"| matrix products | {flops / seconds / 1e9:.1f} GFLOP/s |",
        f"| peak memory | {memory / 2**20:,.0f} MiB |",
        "",
        f"The {_TOP} operators that cost most of their own time, and the table in full in the trace beside this page:",
        "",
        "```",
        events.table(
            sort_by="self_device_time_total" if cuda else "self_cpu_time_total",
            row_limit=_TOP,
            max_name_column_width=40,
        ),
        "```",
        "",
    ]
    return "\n".join(lines)


def _peak_memory() -> int:
    """Return the most memory this process has had resident, in bytes."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
