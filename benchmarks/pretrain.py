"""Speed of a pretraining step, side by side with the plainest PyTorch version of the same step.

Each variant runs in a process of its own and does one step in turn, so that a machine whose speed drifts
slows all of them alike; the table shows medians. CPU time counts all threads and, unlike the clock, not what
other programs take from them. Example:

    python benchmarks/pretrain.py --width 64 --batch 32 --rounds 5
    python benchmarks/pretrain.py --width 16 --variants plain,float32,bf16
    python benchmarks/pretrain.py --device cuda --batch 128 --variants plain,float32,bf16,bf16+compile
    python benchmarks/pretrain.py --device cuda --batch 128 --variants bf16 --profile
    python benchmarks/pretrain.py --width 8 --memory 1000

Clips are random walks of two bodies; nothing is read from disk. A GPU works behind the program: there clips/s
is of stretches of steps without waiting in between, the parts are of steps that wait after each part, and
--profile says which kernels take the time, beside what the card reaches in a large product and a large copy.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing as mp
import re
import resource
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch

POOL = 4
"""Batches of clips there are, spread over each other."""

STRETCH = 20
"""Steps without waiting between, on a GPU."""

PARTS = ("views", "forward", "backward", "optimiser", "after the step")


class Step(Protocol):
    """One training step; with `timed` it waits after each part and returns seconds by part."""

    def __call__(self, number: int, timed: bool = True) -> dict[str, float]: ...


def make(options: argparse.Namespace, variant: str) -> Step:
    """Return a function that does one training step."""
    from skeltools.environment import pick_device
    from skeltools.methods.contract import Batch
    from skeltools.methods.registry import make_method
    from skeltools.methods.skeletonclr import key_momentum
    from skeltools.runs.settings import resolve_recipe
    from skeltools.skeletons import Form, load
    from skeltools.training.memory import keep_freed_memory
    from skeltools.training.optimizer import make_optimizer
    from skeltools.transforms.draws import Draws, step_draws

    device, plain = pick_device(options.device), variant.startswith("plain")
    torch.backends.cudnn.benchmark = True  # as the engine does
    torch.set_num_threads(options.threads)
    overrides = [f"model.width={options.width}", f"train.batch_size={options.batch}", "loss.mu=0.5"]
    settings = resolve_recipe(None, dataset="", split="", stream="joint", overrides=overrides).values
    clips = torch.randn(POOL * options.batch, 3, 64, 25, 2, generator=torch.Generator().manual_seed(0))
    clips = (clips.cumsum(2) * 0.02).to(device)
    places = torch.arange(len(clips), device=device).view(-1, POOL).T
    ours = make_method(settings, Form(load("kinect2"), 2, 64), "joint", 0).to(device).train()
    if plain:
        from plain import Plain

        from skeltools.reference.skeattnclr import translate

        m = settings.model
        model: Any = Plain(m.width, m.dim, m.embedding, m.heads, m.dropout, settings.queue.size, 0.5)
        state = ours.state_dict()
        weights = {}
        for name, value in model.state_dict().items():
            weight = state[str(translate(name))]
            weights[name] = weight.T if name == "queue_z" else weight.reshape(value.shape)
        model.load_state_dict(weights)
        model.to(device).train()
    else:
        if device.type == "cpu":
            keep_freed_memory()
        model = ours
    network = torch.compile(model) if "compile" in variant else model
    optimizer = make_optimizer(settings.train, model)
    if plain:
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9, weight_decay=1e-4
        )

    def step(number: int, timed: bool = True) -> dict[str, float]:
        def now() -> float:
            if timed and device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter()

        busy = time.process_time()
        times = [now()]
        rows = places[number % POOL]
        draws = Draws(0, number, rows)
        with torch.no_grad():
            views = ours.views(Batch(clips[rows], draws, step_draws(0, number), slice(0, options.batch)))
        times.append(now())
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in variant):
            out = network(*views)
        times.append(now())
        out[0].backward()
        times.append(now())
        optimizer.step()
        times.append(now())
        if plain:
            model.after(key_momentum(0.996, number, 10**6), out[1])
        else:
            model.after_step(number, 10**6, *out.kept)
        times.append(now())
        found = {part: b - a for part, a, b in zip(PARTS, times, times[1:], strict=False)}
        return found | {
            "step": times[-1] - times[0],
            "cpu": time.process_time() - busy,
            "loss": out[0].item() if timed else math.nan,
        }

    return step


def peak(device: str) -> float:
    """Return the peak memory of this process in MiB: on the GPU there, else resident."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(options: argparse.Namespace, variant: str, pipe: Connection) -> None:
    """Do a step whenever asked; the first ones warm up."""
    step = make(options, variant)
    first = step(0)
    for number in range(1, 4 if options.device.startswith("cuda") else 1):
        step(number)
    if options.profile:
        profile(step, variant, options)
    pipe.send(first)
    number = 3
    while pipe.recv():
        number += 1
        found = step(number)
        if options.device.startswith("cuda"):
            found["step"], found["cpu"] = stretch(step, number)
        pipe.send(found)
    pipe.send(peak(options.device))


def stretch(step: Step, number: int) -> tuple[float, float]:
    """Return seconds and CPU seconds a step of `STRETCH` steps without waiting."""
    torch.cuda.synchronize()
    began, busy = time.perf_counter(), time.process_time()
    for ahead in range(STRETCH):
        step(number + ahead, timed=False)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / STRETCH, (time.process_time() - busy) / STRETCH


KINDS = {
    "matrix products and convolutions": "gemm|nvjet|cutlass|xmma|conv|cudnn|wgrad|dgrad|splitk|bmm",
    "attention": "flash|fmha|attention",
    "batch norm": "batch_norm|bn_",
    "compiled by torch": "triton_",
    "dropout": "dropout",
    "copies": "memcpy|memset|copy",
    "sums": "reduce",
}
"""Kinds of GPU kernels and a pattern their names match, the first that does; the others are elementwise."""


def profile(step: Step, variant: str, options: argparse.Namespace) -> None:
    """Print which kinds of kernels take a step's time, the arithmetic done, and what the card reaches."""
    from torch.utils.flop_counter import FlopCounterMode

    steps = 5
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        for number in range(steps):
            step(number, timed=False)
        torch.cuda.synchronize()
    kernels = [e for e in found.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    times: dict[str, list[float]] = {}
    longest: dict[str, list[float]] = {}
    for kernel in kernels:
        name = kernel.name.lower()
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "elementwise")
        times.setdefault(kind, []).append(kernel.device_time_total / 1e3)
        longest.setdefault(kernel.name, []).append(kernel.device_time_total / 1e3)
    busy, count = sum(map(sum, times.values())) / steps, len(kernels) / steps
    print(f"kernels of {variant}, batch {options.batch}: {busy:.2f} ms, {count:.0f} a step")
    for kind, each in sorted(times.items(), key=lambda item: -sum(item[1])):
        took = sum(each) / steps
        print(f"  {kind}: {took:.2f} ms, {100 * took / busy:.1f} %, {len(each) / steps:.0f} a step")
    for name, each in sorted(longest.items(), key=lambda item: -sum(item[1]))[:12]:
        print(f"    {sum(each) / steps:.3f} ms  {len(each) / steps:.0f} x  {name[:110]}")
    if variant == "bf16":
        with FlopCounterMode(display=False) as counter:
            step(0)
        print(f"arithmetic: {counter.get_total_flops() / options.batch / 1e9:.2f} GFLOP a clip and step")
        ceilings()


def ceilings() -> None:
    """Print what the card reaches in one large bf16 product and in one large copy."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    big = torch.randn(2**30, device="cuda")
    for label, work, amount, unit in (
        ("product of 8192 x 8192 in bf16", lambda: a @ b, 2 * 8192**3 / 1e12, "TFLOP/s"),
        ("copy of 4 GiB, read and written", lambda: big.clone(), 2 * 4 * 2**30 / 1e12, "TB/s"),
    ):
        times = []
        for _ in range(8):
            events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            events[0].record()
            work()
            events[1].record()
            events[1].synchronize()
            times.append(events[0].elapsed_time(events[1]) / 1e3)
        print(f"{label}: {amount / statistics.median(times):.2f} {unit}")


def compare(options: argparse.Namespace) -> None:
    """Print the table."""
    variants = options.variants.split(",")
    context = mp.get_context("spawn")
    pipes, processes, first = {}, [], {}
    for variant in variants:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(options, variant, there))
        process.start()
        there.close()
        pipes[variant] = here
        processes.append(process)
        first[variant] = here.recv()
    times: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for _ in range(options.rounds):
        for variant, pipe in pipes.items():
            pipe.send(True)
            times[variant].append(pipe.recv())
    where = options.device
    if where.startswith("cuda"):
        where = torch.cuda.get_device_name(where)
    print(
        f"{where}, {options.threads} threads, torch {torch.__version__}, width {options.width}, "
        f"batch {options.batch}, medians of {options.rounds} rounds"
    )
    base = statistics.median(t["step"] for t in times[variants[0]])
    heads = [
        "variant",
        "clips/s",
        f"times {variants[0]}",
        "CPU s/step",
        "by CPU time",
        *(f"{part} ms" for part in PARTS),
        "peak MiB",
        "loss",
    ]
    print(" | ".join(heads))
    for variant, pipe in pipes.items():
        pipe.send(False)
        memory = pipe.recv()
        median = {key: statistics.median(t[key] for t in times[variant]) for key in (*PARTS, "step", "cpu")}
        ratios = [a["step"] / b["step"] for a, b in zip(times[variants[0]], times[variant], strict=True)]
        cells = [variant, f"{options.batch / median['step']:.2f}", f"{base / median['step']:.2f}"]
        cells[-1] += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        busy = statistics.median(t["cpu"] for t in times[variants[0]]) / median["cpu"]
        cells += [f"{median['cpu']:.2f}", f"{busy:.2f}"]
        cells += [f"{1e3 * median[part]:.1f}" for part in PARTS]
        print(" | ".join([*cells, f"{memory:.0f}", f"{first[variant]['loss']:.4f}"]))
    for process in processes:
        process.join()


def time_views(options: argparse.Namespace) -> None:
    """Print what the two views and the part swap cost a clip on one core."""
    from skeltools.methods.contract import Batch
    from skeltools.methods.registry import make_method
    from skeltools.runs.settings import resolve_recipe
    from skeltools.skeletons import Form, load
    from skeltools.training.memory import keep_freed_memory
    from skeltools.transforms.draws import Draws, step_draws

    torch.set_num_threads(1)
    keep_freed_memory()
    x, rows = torch.randn(options.batch, 3, 64, 25, 2), torch.arange(options.batch)
    for label, recipe in (("two views", "skeletonclr"), ("two views and part swap", "skeattnclr")):
        settings = resolve_recipe(recipe, dataset="", split="", stream="joint").values
        method = make_method(settings, Form(load("kinect2"), 2, 64), "joint", 0)
        costs = []
        for number in range(30):
            began = time.perf_counter()
            with torch.no_grad():
                method.views(Batch(x, Draws(0, number, rows), step_draws(0, number), slice(0, options.batch)))
            costs.append((time.perf_counter() - began) / options.batch * 1e3)
        middle, least = statistics.median(costs), min(costs)
        print(f"{label}: {middle:.4f} ms a clip on one core (median of 30, least {least:.4f})")


def watch_memory(options: argparse.Namespace) -> None:
    """Print the resident memory over many steps."""
    step = make(options, options.variants.split(",")[-1])
    for number in range(options.memory + 1):
        step(number)
        if number % max(1, options.memory // 10) == 0:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            resident = pages * resource.getpagesize() / 2**20
            print(f"step {number}: {resident:.0f} MiB resident", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--variants", default="plain,float32,bf16", help="plain, float32, bf16, with +compile"
    )
    parser.add_argument(
        "--memory", type=int, default=0, metavar="STEPS", help="watch memory over so many steps"
    )
    parser.add_argument("--profile", action="store_true", help="on a GPU: what its kernels do")
    parser.add_argument("--views", action="store_true", help="time the views alone, on one core")
    options = parser.parse_args()
    if options.profile and not options.device.startswith("cuda"):
        parser.error("--profile needs --device cuda")
    if options.views:
        time_views(options)
    elif options.memory:
        watch_memory(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
