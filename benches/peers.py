"""Lists of the 16 nearest of all rows: wsidx, faiss IndexFlatL2 and usearch exact search, on the same vectors, in turns in one run.

    python benches/peers.py [--rows N] [--columns M] [--turns T] [--peers NAME …] [--planes HIGH LOW] [--bench COMMAND]

Needs numpy, faiss-cpu and usearch, and cargo (or, as --bench, the benchmark that `cargo bench --bench knn --no-run` names). The vectors are
the synthetic ones of `benches/knn.rs`, or with --planes the two feature files of an index (`high-*` and `low-*` in its view) of --columns bytes
a row. All run with two threads; the peers find 17, because they find the row itself. Prints, for each turn and library, wall and processor
seconds; then the ratio of the best of each to ours, and in how many rows the distances differ. A peer adds in f32, so it may confuse
distances that are equal to about seven digits; differences beyond that are counted. usearch takes minutes for 60,000 rows; leave it out
with --peers faiss.
"""

import argparse
import os
import shlex
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "2"

import faiss
import numpy as np
from usearch.index import MetricKind, search

K = 16


def timed(work):
    wall, before = time.perf_counter(), os.times()
    found = work()
    after = os.times()
    return time.perf_counter() - wall, after.user + after.system - before.user - before.system, found


def by_faiss(vectors):
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    return index.search(vectors, K + 1)


def by_usearch(vectors):
    # In parts: it would hold the distances of all pairs.
    parts = range(0, len(vectors), 2_048)
    found = [search(vectors, vectors[at : at + 2_048], K + 1, MetricKind.L2sq, exact=True, threads=2) for at in parts]
    return np.concatenate([part.distances for part in found]), np.concatenate([part.keys for part in found])


PEERS = {"faiss": by_faiss, "usearch": by_usearch}


class Ours:
    def __init__(self, command, file, columns, lists):
        self.lists = lists
        environment = dict(os.environ, RAYON_NUM_THREADS="2")
        command = [*command, "serve", file, lists, str(columns)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        wall, cpu = map(float, self.process.stdout.readline().split())
        return wall, cpu

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        return np.fromfile(self.lists, dtype="<u4").reshape(-1, K, 2)[:, :, 1].astype(np.float64)


def differing(ours, distances, indices):
    """Rows whose distances, the row itself left out once, differ from ours by more than f32 explains."""
    rows = np.arange(len(indices))[:, None]
    itself = indices == rows
    itself[~itself.any(axis=1), -1] = True
    theirs = np.sort(distances[~itself].reshape(len(rows), -1)[:, :K].astype(np.float64), axis=1)
    return int((np.abs(theirs - ours) > 1e-6 * 4 * 32_000.0**2).any(axis=1).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--planes", nargs=2)
    parser.add_argument("--bench", default="cargo bench --quiet --bench knn --")
    asked = parser.parse_args()
    command = shlex.split(asked.bench)
    faiss.omp_set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "rows")
        if asked.planes:
            with open(file, "wb") as out:
                for plane in asked.planes:
                    out.write(open(plane, "rb").read())
        else:
            subprocess.run([*command, "export", file, str(asked.rows), str(asked.columns)], check=True)
        high, low = np.fromfile(file, dtype=np.int8).reshape(2, -1, asked.columns)
        vectors = 256.0 * high.astype(np.float32) + low.astype(np.float32)
        ours = Ours(command, file, asked.columns, os.path.join(folder, "lists"))
        times = {"wsidx": [], "faiss": [], "usearch": []}
        for _ in range(asked.turns):
            times["wsidx"].append(ours.turn())
            for name in asked.peers:
                wall, cpu, found = timed(lambda: PEERS[name](vectors))
                times[name].append((wall, cpu))
                times[name + " found"] = found
            for name in ("wsidx", *asked.peers):
                wall, cpu = times[name][-1]
                print(f"{name:<8} {len(vectors):>8} x {asked.columns:<4} {wall:8.3f} s   cpu {cpu:8.2f} s", flush=True)
        exact = ours.end()
        wall, cpu = np.min(times["wsidx"], axis=0)
        for name in asked.peers:
            other_wall, other_cpu = np.min(times[name], axis=0)
            differ = differing(exact, *times[name + " found"])
            print(f"{name}: {other_wall / wall:.1f} x our wall time, {other_cpu / cpu:.1f} x our processor time; {differ} rows differ")


if __name__ == "__main__":
    main()
