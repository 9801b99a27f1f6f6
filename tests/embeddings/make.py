"""Makes the files beside it: embeddings as NumPy saves them, and what scikit-learn and plain Python find in them.

    pip install numpy pyarrow scikit-learn && python tests/embeddings/make.py

26 embeddings of three classes around a few directions, in multiples of 1/64, so that each of the types holds them exactly. reference.json has
the clusters of each class by AgglomerativeClustering(linkage="complete", metric="cosine"), which image is kept of each, and the table of
dissimilarities of Birodkar et al. 2019 (Table 1), each from its definition.
"""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from sklearn.cluster import AgglomerativeClustering

folder = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)
classes = {"cat": 14, "dog": 11, "eel": 1}
paths = [f"{label}/{number:02}.ppm" for label, count in classes.items() for number in range(count)]
directions = rng.normal(size=(9, 5))
points = directions[rng.integers(9, size=len(paths))] * rng.uniform(0.5, 3, size=(len(paths), 1)) + 0.3 * rng.normal(size=(len(paths), 5))
points = np.round(points * 64) / 64
order = rng.permutation(len(paths))  # The rows are not in the order of the paths.
points, paths = points[order], [paths[i] for i in order]
ids = np.array(paths, dtype=str)

np.save(folder / "f4.npy", points.astype("<f4"))
np.save(folder / "fortran_f8.npy", np.asfortranarray(points))
np.save(folder / "big_f2.npy", points.astype(">f2"))
np.save(folder / "i2.npy", (points * 64).astype("<i2"))
for version in 2, 3:
    with open(folder / f"version{version}.npy", "wb") as file:
        npy.write_array(file, points.astype("<f4"), version=(version, 0))
np.savez(folder / "stored.npz", embeddings=points.astype("<f4"), ids=ids)
np.savez_compressed(folder / "packed.npz", features=points.astype("<f8"), paths=ids.astype("S"), epoch=np.array(3))
lists = pa.array(points.astype("f4").tolist(), pa.list_(pa.float32()))
pq.write_table(pa.table({"file_name": paths, "embedding": lists}), folder / "lists.parquet", row_group_size=10)
fixed = pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), 5)
table = pa.table({"note": ["x"] * len(paths), "vector": fixed, "filepath": paths})
pq.write_table(table, folder / "fixed.parquet", compression="zstd", data_page_version="2.0", data_page_size=100, write_batch_size=3)
pq.write_table(pa.table({"ids": paths, "v": [[1.0] * (4 + 2 * (i % 2)) for i in range(26)]}), folder / "unequal.parquet")
np.save(folder / "objects.npy", points.astype(object), allow_pickle=True)
(folder / "ids.txt").write_text("".join(path + "\n" for path in paths))
(folder / "ids.csv").write_text("index,filename\n" + "".join(f"{row},{path}\n" for row, path in enumerate(paths)))

unit = {path: point / np.linalg.norm(point) for path, point in zip(paths, points)}
clusters, table, groups_of_all = [], {}, []
for label, k in {"cat": 8, "dog": 6, "eel": 1}.items():
    own = sorted(path for path in paths if path.startswith(label))
    vectors = np.array([unit[path] for path in own])
    found = [0] if len(own) == 1 else AgglomerativeClustering(n_clusters=k, linkage="complete", metric="cosine").fit_predict(vectors)
    means = []
    for cluster in sorted(set(found)):
        members = [path for path, its in zip(own, found) if its == cluster]
        centre = sum(unit[path] for path in members)
        centre = centre / np.linalg.norm(centre)
        # Of equally near ones the first: the two of a pair are as near as each other.
        kept = min(members, key=lambda path: (round(1 - float(unit[path] @ centre), 9), path))
        clusters.append({"kept": kept, "discarded": [path for path in members if path != kept]})
        if len(members) > 1:
            means.append(float(np.mean([1 - unit[path] @ unit[kept] for path in members if path != kept])))
    table[label] = {"images": len(own), "kept": k, "groups": len(means), "average": float(np.mean(means)) if means else None}
    groups_of_all += means
table["all"] = {"images": len(paths), "kept": 15, "groups": len(groups_of_all), "average": float(np.mean(groups_of_all))}
(folder / "reference.json").write_text(json.dumps({"clusters": clusters, "table": table}, indent=1) + "\n")
