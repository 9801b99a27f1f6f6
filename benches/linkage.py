"""Complete linkage by cosine distance of N x D points: wsidx and scikit-learn, in turns in one run.

    cargo bench --bench linkage --no-run          # prints the program
    python benches/linkage.py PROGRAM [--points 5000] [--columns 64] [--clusters 4500] [--turns 5]

Needs scikit-learn. Points are drawn around 500 directions. Prints the seconds of both for each turn, the ratio of the medians, and the
adjusted Rand index of the two clusterings: 1 if they are the same.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--points", type=int, default=5000)
parser.add_argument("--columns", type=int, default=64)
parser.add_argument("--clusters", type=int, default=4500)
parser.add_argument("--turns", type=int, default=5)
args = parser.parse_args()

rng = np.random.default_rng(0)
centres = rng.normal(size=(500, args.columns))
points = centres[rng.integers(500, size=args.points)] + 0.5 * rng.normal(size=(args.points, args.columns))
points = points.astype("<f4")

times = {"wsidx": [], "scikit-learn": []}
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "points.f32"
    file.write_bytes(points.tobytes())
    shape = [str(number) for number in (args.points, args.columns, args.clusters)]
    for _ in range(args.turns):
        out = subprocess.run([args.program, file, *shape], check=True, capture_output=True, text=True).stdout.split()
        times["wsidx"].append(float(out[0]))
        start = time.perf_counter()
        found = AgglomerativeClustering(n_clusters=args.clusters, metric="cosine", linkage="complete").fit_predict(points)
        times["scikit-learn"].append(time.perf_counter() - start)
        print(*(f"{name} {seconds[-1]:.3f} s" for name, seconds in times.items()))
ratio = statistics.median(times["scikit-learn"]) / statistics.median(times["wsidx"])
print(f"ratio {ratio:.2f}, adjusted Rand index {adjusted_rand_score(found, [int(own) for own in out[1:]]):.6f}")
