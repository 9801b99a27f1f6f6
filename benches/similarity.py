"""SSIM of every pair of a folder of images: `wsidx similarity` and scikit-image, in turns in one run, on the same convention.

    python benches/similarity.py FOLDER [--pairs N] [--turns T] [--wsidx PROGRAM]

Needs scikit-image, Pillow and numpy. FOLDER is (part of) a dataset with an index whose pictures have the size of the files. wsidx compares all
pairs, as a whole process that also opens the index and writes the matrix; scikit-image, in as many processes as there are cores, every k-th
of them, so that it takes about --pairs. Prints pairs a second of both, by the clock and by the seconds of the cores, for each turn; the ratios of
the medians, and the largest difference.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

MEASURE = "ssim:like=scikit-image"
images = []


def load(root, paths):
    images[:] = [np.asarray(Image.open(root / path).convert("RGB")) for path in paths]


def ssim(pair):
    return structural_similarity(images[pair[0]], images[pair[1]], channel_axis=2, data_range=255)


def timed(work):
    """What comes of it, its seconds on the clock, and those of the cores in the processes that it starts."""
    start, before = time.perf_counter(), os.times()
    found = work()
    after = os.times()
    return found, time.perf_counter() - start, sum(after[2:4]) - sum(before[2:4])


def pooled(root, paths, pairs):
    pool = multiprocessing.Pool(initializer=load, initargs=(root, paths))
    values = pool.map(ssim, pairs, chunksize=64)
    pool.close()
    pool.join()
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--wsidx", default="target/release/wsidx")
    args = parser.parse_args()
    out = os.path.join(tempfile.mkdtemp(), "S.npy")
    command = [os.path.abspath(args.wsidx), "similarity", ".", "--measure", MEASURE, "--out", out, "--format", "json"]
    root = next(folder for folder in [args.folder.resolve(), *args.folder.resolve().parents] if (folder / ".wsidx").is_dir())
    ours, theirs, largest = [], [], 0.0
    for _ in range(args.turns):
        run, *seconds = timed(lambda: subprocess.run(command, cwd=args.folder, check=True, stdout=subprocess.PIPE))
        found = json.loads(run.stdout)
        ours.append([found["pairs"] / each for each in seconds])
        paths = [row["path"] for row in found["rows"]]
        pairs = list(itertools.combinations(range(len(paths)), 2))[:: max(1, found["pairs"] // args.pairs)]
        values, *seconds = timed(lambda: pooled(root, paths, pairs))
        theirs.append([len(pairs) / each for each in seconds])
        matrix = np.load(out)
        largest = max(largest, *(abs(matrix[pair] - value) for pair, value in zip(pairs, values)))
        print("wsidx {:,.0f} pairs/s, {:,.0f} a core; scikit-image {:,.0f} pairs/s, {:,.0f} a core".format(*ours[-1], *theirs[-1]), flush=True)
    clock, core = (statistics.median(o[i] for o in ours) / statistics.median(t[i] for t in theirs) for i in (0, 1))
    print(f"ratio {clock:.0f} by the clock, {core:.0f} by the cores; largest difference {largest:.1e}")


if __name__ == "__main__":
    main()
