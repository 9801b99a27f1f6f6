"""Makes the files beside it: the same twelve images as pyarrow writes them, by various settings; and files that are refused.

    pip install numpy pyarrow && python tests/parquet/make.py

The images are those of `ppm(seed, 16)` in tests/support/images.rs, of the seeds 0 to 11; the label of image i is that of i modulo 3.
"""

import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

folder = pathlib.Path(__file__).parent
NAMES = ["cat", "dog", "eel"]
MASK = (1 << 64) - 1


def ppm(seed, side=16):
    state = ((seed + 1) * 0x9E3779B97F4A7C15 | 1) & MASK

    def below(n):
        nonlocal state
        state ^= state >> 12
        state ^= (state << 25) & MASK
        state ^= state >> 27
        return ((state * 0x2545F4914F6CDD1D & MASK) >> 33) % n

    blocks = side // 4
    colours = [bytes(below(256) for _ in range(3)) for _ in range(blocks * blocks)]
    rows = (colours[y // 4 * blocks + x // 4] for y in range(side) for x in range(side))
    return f"P6 {side} {side} 255\n".encode() + b"".join(rows)


images = [ppm(seed) for seed in range(12)]
numbers = [i % 3 for i in range(12)]
labels = [NAMES[i] for i in numbers]
paths = [f"{i:02}.ppm" for i in range(12)]
structs = pa.array([{"bytes": image, "path": path} for image, path in zip(images, paths)], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def told(**features):
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(name, columns, metadata=None, **settings):
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), folder / name, **settings)


of_image, of_label = {"_type": "Image"}, {"_type": "ClassLabel", "names": NAMES}
# As `datasets` writes them: Snappy, a dictionary, groups of few rows; another column of bytes is no image.
write(
    "train-00000-of-00001.parquet",
    {"thumbnail": pa.array([b"x"] * 12), "picture": structs, "kind": pa.array(numbers, pa.int64())},
    told(thumbnail={"_type": "Value", "dtype": "binary"}, picture=of_image, kind=of_label),
    row_group_size=5,
)
# Plain bytes, and labels as text.
write("plain.parquet", {"image": pa.array(images), "label": labels}, compression="none", use_dictionary=False)
write("gzip.parquet", {"label": pa.array(numbers, pa.int32()), "image": pa.array(images, pa.large_binary())}, compression="gzip")
# Pages of version 2, each of a few rows, nulls among them.
some = pa.array([image if i % 4 else None for i, image in enumerate(images)])
write(
    "pages.parquet",
    {"image": some, "class": [label if i % 5 else None for i, label in enumerate(labels)]},
    compression="zstd",
    data_page_version="2.0",
    data_page_size=1000,
    write_batch_size=2,
    use_dictionary=["class"],
)
# A dictionary that overflows: the pages behind it are plain. Each image twice, in groups of 24 rows.
write("overflow.parquet", {"image": pa.array(images + images)}, dictionary_pagesize_limit=3000, write_batch_size=4, data_page_size=2000)
write("two.parquet", {"left": structs, "right": pa.array(images[::-1])}, compression="zstd")
# What is in files is not in the table.
only_paths = pa.array([{"bytes": None, "path": path} for path in paths], structs.type)
write("paths.parquet", {"image": only_paths, "label": pa.array([-1] * 12)}, told(image=of_image, label=of_label))

write("metadata.parquet", {"file_name": paths, "label": labels})
write("numbers.parquet", {"a": numbers, "b": labels})
write("brotli.parquet", {"image": pa.array(images)}, compression="brotli")
write("delta.parquet", {"image": pa.array(images)}, use_dictionary=False, column_encoding={"image": "DELTA_LENGTH_BYTE_ARRAY"})
