"""How long do exact kNN and linear evaluation take on features of a whole data set, and in how much memory?

Features are Gaussian, around a centre for each class, so that nothing is by chance. NTU-120 has 114,480 clips, 63,026
to train and 50,919 to test on the split by subject, 120 classes. kNN compares in double precision, some queries at a
time (`skeltools.analysis.knn`). Peak memory is what the process holds, resident, more than before the features were
made. With --queries or --epochs fewer are done, and the time of all is reckoned from them.

    python benchmarks/evaluation.py knn --bank 114480 --queries 114480
    python benchmarks/evaluation.py linear --epochs 10
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import torch

from skeltools.analysis import knn, metrics
from skeltools.protocols.linear import LinearSettings, fit_layer
from skeltools.protocols.running import registry


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("knn", "linear"))
    parser.add_argument("--bank", type=int, default=63_026, help="clips to train on")
    parser.add_argument("--queries", type=int, default=50_919, help="clips to test on")
    parser.add_argument(
        "--all", type=int, help="queries that kNN's time is reckoned for; unless given, these"
    )
    parser.add_argument("--epochs", type=int, help="of linear; the recipe's unless given")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--classes", type=int, default=120)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    use: LinearSettings = registry.get("linear").resolve({}, None, []).values
    knn.neighbours(torch.randn(64, 8), torch.randn(64, 8), 4)  # the libraries' first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    draws = torch.Generator().manual_seed(0)
    centres = torch.randn(options.classes, options.dim, generator=draws)

    def made(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(options.classes, (count,), generator=draws)
        return torch.randn(count, options.dim, generator=draws).mul_(4).add_(centres[labels]), labels

    (bank, labels), (queries, truth) = made(options.bank), made(options.queries)
    began, busy = time.perf_counter(), time.process_time()
    if options.what == "knn":
        scores = knn.predict(bank, labels, queries, options.k, 0.1, options.classes)
        part = (options.all or options.queries) / options.queries
        how, whole = f"k = {options.k}", f"{options.all or options.queries:,} queries"
    else:
        some = replace(use, epochs=options.epochs or use.epochs)
        scores = fit_layer(
            bank,
            lambda: queries,
            labels,
            truth,
            dim=options.dim,
            classes=options.classes,
            settings=some,
            seed=0,
        ).scores
        part = use.epochs / some.epochs
        how, whole = f"{some.epochs} epochs", f"{use.epochs} epochs"
    spent, cpu = time.perf_counter() - began, time.process_time() - busy
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{options.what}, {how}, {options.classes} classes, {options.threads} threads, torch {torch.__version__}"
    )
    print(f"{len(bank):,} x {options.dim} to train, {len(queries):,} to test")
    print(
        f"{spent:.1f} s, {cpu:.1f} s of CPU time; peak {peak:.0f} MiB; top-1 {metrics.topk(scores, truth, 1):.4f}"
    )
    print(f"{whole}: {spent * part:.0f} s, {cpu * part:.0f} s of CPU time")


if __name__ == "__main__":
    main()
