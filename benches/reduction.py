"""Reduction of training sets (Algorithms 1 and 2 of Yousefzadeh 2020): how long it takes, what it finds, and how good its clusters are.

    python benches/reduction.py fish FOLDER [--turns 5] [--wsidx PROGRAM]
    python benches/reduction.py cifar10 FOLDER [--all] [--wsidx PROGRAM]
    python benches/reduction.py inertia FOLDER CLASS N_CLUSTERS… [--wsidx PROGRAM]

FOLDER is a dataset with an index, `train/<class>/*.png` and `test/…` of 32 x 32: the class aquarium fish of CIFAR-100, or CIFAR-10. `fish` runs both
algorithms whole, as processes that also open the index and print, and says which identical images they keep together. `cifar10` runs
Algorithm 1 on all training images with 47,000 clusters, on the search columns and, with --all, on all coefficients; and leaks and outliers.
`inertia` holds k-means on all coefficients of one class against plain k-means++ and Lloyd's iteration of scikit-learn on the pixels, which are the
same points turned. That needs scikit-learn; fish and inertia need Pillow and numpy.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import time

import numpy as np
from PIL import Image


def run(args, *command):
    """What the program prints, its seconds on the clock and of the cores."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    out = subprocess.run([os.path.abspath(args.wsidx), *command], cwd=args.folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return out.stdout.decode(), wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(args, name, turns, *command):
    """The least of some turns, and what was printed last."""
    turns = [run(args, *command) for _ in range(turns)]
    wall, cores = min(turn[1] for turn in turns), min(turn[2] for turn in turns)
    print(f"{name}: {wall:.2f} s by the clock, {cores:.2f} s of the cores, best of {len(turns)}; load {os.getloadavg()[0]:.1f}", flush=True)
    return turns[-1][0]


def pictures(args, folder):
    paths = sorted((args.folder / folder).glob("**/*.png"))
    return [(str(path.relative_to(args.folder)), np.asarray(Image.open(path).convert("RGB"))) for path in paths]


def told(found):
    kept = " ".join(f"{name} {found[name]}" for name in ("images", "clusters", "kept", "discarded", "influential"))
    return f"  {kept}, columns {found['columns']}, inertia {found['inertia']}, silhouette {found['silhouette']}"


def fish(args):
    same = {}
    for path, samples in pictures(args, "train"):
        same.setdefault(samples.tobytes(), []).append(path)
    same = [set(paths) for paths in same.values() if len(paths) > 1]
    for name, command in [
        ("Algorithm 1, 470 clusters", ("--redundant", "0.06")),
        ("Algorithm 2 with SSIM, clusters by eigengaps", ("--method", "spectral", "--eigengap", "paper")),
    ]:
        found = json.loads(timed(args, name, args.turns, "reduce", "--split", "train", *command, "--format", "json"))
        clusters = [{image["path"] for image in cluster["images"]} for cluster in found["multiple"]]
        together = sum(any(pair <= cluster for cluster in clusters) for pair in same)
        print(told(found), f"\n  {together} of {len(same)} groups of identical images are each in one cluster")
    print(run(args, "debug", "basis", "--split", "train")[0].split("\n\n")[0])
    print(run(args, "leaks", "--format", "text")[0].split("\n\n")[0])


def cifar10(args):
    command = ("reduce", "--split", "train", "--clusters", "47000", "--format", "json")
    print(told(json.loads(timed(args, "Algorithm 1, 47,000 clusters, search columns", args.turns, *command, "--columns", "search"))))
    if args.all:
        print(told(json.loads(timed(args, "Algorithm 1, 47,000 clusters, all coefficients", 1, *command))))
    leaks = json.loads(timed(args, "leaks", args.turns, "leaks", "--format", "json"))
    print(f"  {len(leaks['leaks'])} test images")
    for by in ("distance", "lof"):
        timed(args, f"outliers by {by}", args.turns, "outliers", "--by", by, "--format", "json")


def plus_plus(points, k, rng):
    """The centres of plain k-means++: each a point drawn with the probability of its squared distance to the nearest one before."""
    squares, near = np.einsum("ij,ij->i", points, points), np.full(len(points), np.inf)
    centres = [int(rng.integers(len(points)))]
    while len(centres) < k:
        last = centres[-1]
        near = np.minimum(near, np.maximum(squares + squares[last] - 2 * (points @ points[last]), 0))
        near[last] = 0
        centres.append(int(rng.choice(len(points), p=near / near.sum())))
    return points[centres]


def inertia(args):
    from sklearn.cluster import KMeans

    points = np.stack([samples.ravel() for _, samples in pictures(args, f"train/{args.label}")]).astype(np.float32)
    points -= points.mean(axis=0)
    for k in args.clusters:
        command = ("reduce", f"train/{args.label}", "--clusters", str(k), "--tau", "1e12", "--format", "json")
        found = json.loads(run(args, *command)[0])
        assert found["columns"] == [points.shape[1]] * 2, found["columns"]
        print(f"{len(points)} images, {k} clusters: inertia {found['inertia']:.6e}", flush=True)
        for seed in range(args.turns):
            init = plus_plus(points, k, np.random.default_rng(seed))
            theirs = KMeans(k, init=init, n_init=1, max_iter=100, tol=0).fit(points)
            print(f"  {found['inertia'] / theirs.inertia_:.4f} of plain k-means++, seed {seed}, {theirs.n_iter_} passes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fish", "cifar10", "inertia"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("label", nargs="?")
    parser.add_argument("clusters", nargs="*", type=int)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--wsidx", default="target/release/wsidx")
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    {"fish": fish, "cifar10": cifar10, "inertia": inertia}[args.what](args)


if __name__ == "__main__":
    main()
