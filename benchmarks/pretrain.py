"""Speed of a pretraining step, side by side with the plainest PyTorch version of the same step.

Each variant runs in a process of its own and does one step in turn, so that a machine whose speed drifts
slows all of them alike; the table shows medians. CPU time counts all threads and, unlike the clock, not what
other programs take from them. Example:

    python benchmarks/pretrain.py --width 64 --batch 32 --rounds 5
    python benchmarks/pretrain.py --width 16 --variants plain,float32,bf16
    python benchmarks/pretrain.py --device cuda --batch 128 --variants plain,float32,bf16,bf16+compile+graph
    python benchmarks/pretrain.py --device cuda --batch 128 --variants bf16 --profile
    python benchmarks/pretrain.py --width 8 --memory 1000
    python benchmarks/pretrain.py mamp --threads 1     (the same as benchmarks/mamp.py, whose --help says its options)

Clips are random walks, of two bodies of Kinect v2 unless --form says otherwise; nothing is read from disk. A GPU
works behind the program: there clips/s
is of stretches of steps without waiting in between, the parts are of steps that wait after each part, and
--profile says which kernels take the time, beside what the card reaches in a large product and a large copy.

A variant is words joined by "+": plain (the plain version), float32, bf16; compile (torch.compile), overhead
(torch.compile that makes CUDA graphs itself), graph (forward and backward captured as one CUDA graph, which is
then played back; with compile, of the compiled network). Variants that compile do so side by side; timed is one
process after the other. A variant that fails is said, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing as mp
import re
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from skeltools.skeletons import Form

POOL = 4
"""Batches of clips there are, spread over each other."""

WORDS = {"plain", "float32", "bf16", "compile", "overhead", "graph"}
"""What a variant is made of."""

STRETCH = 10
"""Steps without waiting between, on a GPU."""

PARTS = ("views", "forward", "backward", "optimiser", "after the step")


class Step(Protocol):
    """One training step; with `timed` it waits after each part and returns seconds by part."""

    def __call__(self, number: int, timed: bool = True) -> dict[str, float]: ...


class Graph:
    """Forward and backward of some views as one CUDA graph.

    Args:
        forward: Views to an output whose first entry is the loss.
        model: Whose gradients are made.
        views: Of a batch; later ones have their shapes.
    """

    def __init__(
        self, forward: Callable[..., Any], model: torch.nn.Module, views: tuple[Tensor, ...]
    ) -> None:
        self.views = tuple(view.clone() for view in views)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                model.zero_grad(set_to_none=True)
                forward(*self.views)[0].backward()
        torch.cuda.current_stream().wait_stream(stream)
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = forward(*self.views)
            self.out[0].backward()

    def __call__(self, *views: Tensor) -> Any:
        """Return the output, which the next call overwrites; gradients are made with it."""
        torch._foreach_copy_(list(self.views), list(views))
        self.graph.replay()
        return self.out


def make(options: argparse.Namespace, variant: str) -> Step:
    """Return a function that does one training step."""
    from skeltools.environment import pick_device
    from skeltools.methods.contract import Batch
    from skeltools.methods.registry import make_method
    from skeltools.methods.skeletonclr import key_momentum
    from skeltools.runs.settings import resolve_recipe
    from skeltools.training.memory import keep_freed_memory
    from skeltools.training.optimizer import make_optimizer
    from skeltools.transforms.draws import Draws, step_draws

    device, words = pick_device(options.device), variant.split("+")
    plain = "plain" in words
    torch.set_num_threads(options.threads)
    overrides = [f"model.width={options.width}", f"train.batch_size={options.batch}", "loss.mu=0.5"]
    settings = resolve_recipe(None, dataset="", split="", stream="joint", overrides=overrides).values
    form = options.form
    shape = (3, form.frames, form.joints, form.bodies)
    clips = torch.randn(POOL * options.batch, *shape, generator=torch.Generator().manual_seed(0))
    clips = (clips.cumsum(2) * 0.02).to(device)
    places = torch.arange(len(clips), device=device).view(-1, POOL).T
    ours = make_method(settings, form, "joint", 0).to(device).train()
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
    network = model
    if "overhead" in words:
        network = torch.compile(model, mode="reduce-overhead")
    elif "compile" in words:
        network = torch.compile(model)

    def forward(*views: Tensor) -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in words):
            return network(*views)

    graph: Graph | None = None
    optimizer = make_optimizer(settings.train, model)
    if plain:
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9, weight_decay=1e-4
        )

    def step(number: int, timed: bool = True) -> dict[str, float]:
        nonlocal graph

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
        if "graph" in words and number and device.type == "cuda" and graph is None:
            graph = Graph(forward, model, views)
        times.append(now())
        if graph is None:
            optimizer.zero_grad(set_to_none=True)
            out = forward(*views)
            times.append(now())
            out[0].backward()
        else:
            times.append(now())
            out = graph(*views)
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


def peak(device: str) -> tuple[float, float]:
    """Return the peak memory of this process in MiB: on the GPU there, used and reserved, else resident."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20, torch.cuda.max_memory_reserved() / 2**20
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return resident, resident


def work(options: argparse.Namespace, variant: str, pipe: Connection) -> None:
    """Do what is asked for until nothing is; what goes wrong is the answer."""
    try:
        _work(options, variant, pipe)
    except Exception as error:
        traceback.print_exc()
        first = next(iter(str(error).splitlines()), "")
        pipe.send({"error": f"{type(error).__name__}: {first:.200}"})


def _work(options: argparse.Namespace, variant: str, pipe: Connection) -> None:
    gpu, began = options.device.startswith("cuda"), time.perf_counter()
    # cuDNN chooses by timing, as the engine lets it; but not while others compile.
    torch.backends.cudnn.benchmark = not gpu or "overhead" in variant
    step = make(options, variant)
    first = step(0)
    number = 1
    if gpu:
        torch.cuda.empty_cache()
    pipe.send({"built": time.perf_counter() - began, "loss": first["loss"]})
    while (asked := pipe.recv()) != "end":
        found: dict[str, Any] = {}
        if asked == "ready":
            torch.backends.cudnn.benchmark = True
            for number in range(1, 5 if gpu else 1):
                step(number)
            if variant in options.profile:
                found["profile"] = profile(step, variant, options)
            if gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
        else:
            number += 1
            found |= step(number)
            if gpu:
                found["step"], found["cpu"] = stretch(step, number)
                number += STRETCH
                torch.cuda.empty_cache()  # room for the other processes
        pipe.send(found)
    pipe.send(peak(options.device))


def stretch(step: Step, number: int) -> tuple[float, float]:
    """Return seconds and CPU seconds per step of `STRETCH` steps without waiting."""
    torch.cuda.synchronize()
    began, busy = time.perf_counter(), time.process_time()
    for ahead in range(STRETCH):
        step(number + ahead, timed=False)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / STRETCH, (time.process_time() - busy) / STRETCH


KINDS = {
    "compiled by torch": "^triton_",
    "matrix products and convolutions": "gemm|nvjet|cutlass|xmma|conv|cudnn|wgrad|dgrad|splitk|bmm",
    "attention": "flash|fmha|attention",
    "batch norm": "batch_norm|bn_",
    "dropout": "dropout",
    "copies": "memcpy|memset|copy",
    "sums": "reduce",
}
"""Kinds of GPU kernels and a pattern their names match, the first that does; the others are elementwise."""


def profile(step: Step, variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """Print which kinds of kernels take a step's time, the arithmetic done, and what the card reaches; return it."""
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
    print(f"kernels of {variant}, batch {options.batch}: {busy:.2f} ms, {count:.0f} per step")
    for kind, each in sorted(times.items(), key=lambda item: -sum(item[1])):
        took = sum(each) / steps
        print(f"  {kind}: {took:.2f} ms, {100 * took / busy:.1f} %, {len(each) / steps:.0f} per step")
    found: dict[str, Any] = {"busy_ms": busy, "kernels": count}
    found["kinds"] = {
        kind: {"ms": sum(each) / steps, "kernels": len(each) / steps} for kind, each in times.items()
    }
    found["longest"] = []
    for place, (name, each) in enumerate(sorted(longest.items(), key=lambda item: -sum(item[1]))[:40]):
        found["longest"].append({"ms": sum(each) / steps, "calls": len(each) / steps, "name": name[:200]})
        if place < 25:
            print(f"    {sum(each) / steps:.3f} ms  {len(each) / steps:.0f} x  {name[:110]}")
    if variant == "bf16":
        with FlopCounterMode(display=False) as counter:
            step(0)
        found["gflop_a_clip"] = counter.get_total_flops() / options.batch / 1e9
        print(f"arithmetic: {found['gflop_a_clip']:.2f} GFLOP per clip and step")
        found |= ceilings()
    return found


def ceilings() -> dict[str, float]:
    """Print what the card reaches in one large bf16 product and in one large copy; return it."""
    found = {}
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
        found[label] = amount / statistics.median(times)
        print(f"{label}: {found[label]:.2f} {unit}")
    return found


class Worker:
    """The process of one variant."""

    def __init__(self, options: argparse.Namespace, variant: str) -> None:
        context = mp.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.variant, self.error = variant, ""
        self.process = context.Process(target=work, args=(options, variant, there))
        self.process.start()
        there.close()
        self.first: dict[str, Any] = {}
        self.profile: dict[str, Any] | None = None
        self.times: list[dict[str, float]] = []

    def answer(self) -> dict[str, Any]:
        """Return what the process says; nothing if it failed."""
        try:
            found: dict[str, Any] = self.pipe.recv()
        except EOFError:
            found = {"error": "its process ended"}
        self.error = found.get("error", "")
        if self.error:
            print(f"{self.variant} failed: {self.error}", flush=True)
        return {} if self.error else found

    def ask(self, what: str) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        self.pipe.send(what)
        return self.answer()


def compare(options: argparse.Namespace) -> None:
    """Print the table."""
    names, began = options.variants.split(","), time.monotonic()
    slow = [name for name in names if "compile" in name or "overhead" in name]
    on_gpu = options.device.startswith("cuda")
    workers = {name: Worker(options, name) for name in slow if on_gpu}  # these compile meanwhile
    for name in names:
        if name not in workers:
            workers[name] = Worker(options, name)
            workers[name].first = workers[name].answer()
    for name in slow if on_gpu else []:
        workers[name].first = workers[name].answer()
    found = [workers[name] for name in names if not workers[name].error]
    if options.wait:
        until = time.monotonic() + 120
        while not options.wait.exists() and time.monotonic() < until:
            time.sleep(0.1)
    print("until the first step: " + ", ".join(f"{w.variant} {w.first['built']:.0f} s" for w in found))
    for worker in found:
        worker.profile = worker.ask("ready").get("profile")
    rounds = 0
    while not rounds or (rounds < options.rounds and time.monotonic() - began < options.seconds):
        rounds += 1
        for worker in found:
            if not worker.error and (times := worker.ask("round")):
                worker.times.append(times)
    memory = {}
    for worker in found:
        if not worker.error:
            worker.pipe.send("end")
            memory[worker.variant] = worker.pipe.recv()
        worker.process.join()
    found = [worker for worker in found if len(worker.times) == rounds]
    where = options.device
    if on_gpu:
        where = torch.cuda.get_device_name(where)
    print(
        f"{where}, {options.threads} threads, torch {torch.__version__}, width {options.width}, "
        f"batch {options.batch}, {told_form(options.form)}, medians of {rounds} rounds"
    )
    rows = [summary(worker, found[0], options, memory[worker.variant]) for worker in found]
    heads = ["variant", "clips/s", f"times {names[0]}", "CPU s/step", "by CPU time"]
    print(
        " | ".join(
            [*heads, *(f"{part} ms" for part in PARTS), "peak MiB", "reserved MiB", "loss", "last loss"]
        )
    )
    for entry in rows:
        cells = [entry["variant"], f"{entry['clips_per_second']:.2f}", f"{entry['times']:.2f}"]
        cells[-1] += f" ({entry['times_least']:.2f} to {entry['times_most']:.2f})"
        cells += [f"{entry['cpu_s']:.2f}", f"{entry['times_by_cpu']:.2f}"]
        cells += [f"{entry['ms'][part]:.1f}" for part in PARTS]
        cells += [f"{entry['peak_mib']:.0f}", f"{entry['reserved_mib']:.0f}"]
        print(" | ".join([*cells, f"{entry['loss']:.4f}", f"{entry['last_loss']:.4f}"]))
    if options.json:
        told = {
            "device": where, "torch": torch.__version__, "width": options.width, "batch": options.batch,
            "form": told_form(options.form),
            "rounds": rounds, "stretch": STRETCH if on_gpu else 1, "rows": rows,
            "failed": {w.variant: w.error for w in workers.values() if w.error},
        }  # fmt: skip
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if len(found) < len(workers):
        raise SystemExit(1)


def form_of(text: str) -> Form:
    """Return the form of clips from a skeleton, its bodies and the frames, such as kinect1,1,32."""
    from skeltools.skeletons import Form, load

    name, bodies, frames = text.split(",")
    return Form(load(name), int(bodies), int(frames))


def told_form(form: Form) -> str:
    return f"{form.joints} joints, bodies {form.bodies}, {form.frames} frames"


def summary(
    worker: Worker, base: Worker, options: argparse.Namespace, memory: tuple[float, float]
) -> dict[str, Any]:
    """Return what is known of a variant."""

    def median(of: Worker, key: str) -> float:
        return statistics.median(times[key] for times in of.times)

    ratios = [a["step"] / b["step"] for a, b in zip(base.times, worker.times, strict=True)]
    return {
        "variant": worker.variant,
        "clips_per_second": options.batch / median(worker, "step"),
        "step_ms": 1e3 * median(worker, "step"),
        "times": median(base, "step") / median(worker, "step"),
        "times_least": min(ratios),
        "times_most": max(ratios),
        "cpu_s": median(worker, "cpu"),
        "times_by_cpu": median(base, "cpu") / median(worker, "cpu"),
        "ms": {part: 1e3 * median(worker, part) for part in PARTS},
        "peak_mib": memory[0],
        "reserved_mib": memory[1],
        "built_s": worker.first["built"],
        "loss": worker.first["loss"],
        "last_loss": worker.times[-1]["loss"],
        "profile": worker.profile,
    }


def time_views(options: argparse.Namespace) -> None:
    """Print what the two views and the part swap cost per clip on one core."""
    from skeltools.methods.contract import Batch
    from skeltools.methods.registry import make_method
    from skeltools.runs.settings import resolve_recipe
    from skeltools.training.memory import keep_freed_memory
    from skeltools.transforms.draws import Draws, step_draws

    torch.set_num_threads(1)
    keep_freed_memory()
    form = options.form
    x = torch.randn(options.batch, 3, form.frames, form.joints, form.bodies)
    rows = torch.arange(options.batch)
    for label, recipe in (("two views", "skeletonclr"), ("two views and part swap", "skeattnclr")):
        settings = resolve_recipe(recipe, dataset="", split="", stream="joint").values
        method = make_method(settings, form, "joint", 0)
        costs = []
        for number in range(30):
            began = time.perf_counter()
            with torch.no_grad():
                method.views(Batch(x, Draws(0, number, rows), step_draws(0, number), slice(0, options.batch)))
            costs.append((time.perf_counter() - began) / options.batch * 1e3)
        middle, least = statistics.median(costs), min(costs)
        print(f"{label}: {middle:.4f} ms per clip on one core (median of 30, least {least:.4f})")


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
    if sys.argv[1:2] == ["mamp"]:
        import mamp

        del sys.argv[1]
        return mamp.main()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--form",
        type=form_of,
        default="kinect2,2,64",
        help="skeleton, bodies, frames; another has no plain version",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--variants", default="plain,float32,bf16", help="words above joined by +, variants by commas"
    )
    parser.add_argument(
        "--memory", type=int, default=0, metavar="STEPS", help="watch memory over so many steps"
    )
    parser.add_argument(
        "--profile", nargs="?", const="all", default="", metavar="VARIANTS",
        help="on a GPU: what its kernels do, of some variants or of all",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no round but the first after so long"
    )
    parser.add_argument(
        "--wait", type=Path, metavar="FILE", help="before timing, wait two minutes at most until this exists"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument("--views", action="store_true", help="time the views alone, on one core")
    options = parser.parse_args()
    if options.profile and not options.device.startswith("cuda"):
        parser.error("--profile needs --device cuda")
    if unknown := {word for name in options.variants.split(",") for word in name.split("+")} - WORDS:
        parser.error(
            f"--variants has no word {', '.join(sorted(unknown))}; there are {', '.join(sorted(WORDS))}"
        )
    options.profile = (options.variants if options.profile == "all" else options.profile).split(",")
    if options.views:
        time_views(options)
    elif options.memory:
        watch_memory(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
