"""The copies benchmark for other tools: recall at zero false positives, per transform and on the mean, on the files that `-- photos FOLDER` reads.

    python benches/copies/peers.py FOLDER [--only NAME …] [--table]

Needs pillow and numpy, and of imagehash, imagededup, imgdd, pdqhash, difPy and fastdup those that are installed, and
czkawka_cli where it is on the PATH; others are passed over.
Every tool scores every copy with every photo; a copy is found if its score with its source is above every score, over all transforms, of a
copy with a photo that is not its source. Libraries that take an image get it upright (EXIF) and as RGB; those that take a file read it
themselves. Hashes score by their Hamming distance; pdq takes the best of the 8 turns of the copy; difPy its own mean square error with its
own turns; fastdup the cosine of its own features (a trained model); czkawka, which tells of each copy only the one photo that it groups it
with, minus the difference that it prints, all other pairs being no impostors, in its favour. --table prints all transforms.
"""

import argparse
import contextlib
import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image, ImageOps


def upright(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def bits_of_hex(text):
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8)).astype(bool)


def imagehash_bits(path, method, size):
    import imagehash

    return getattr(imagehash, method)(upright(path), hash_size=size).hash.ravel()


def imagededup_bits(path, method):
    from imagededup import methods

    return bits_of_hex(getattr(methods, method)(verbose=False).encode_image(image_file=path))


def pdq_bits(path, turns):
    import pdqhash

    image = np.asarray(upright(path))
    return np.array(pdqhash.compute_dihedral(image)[0] if turns else pdqhash.compute(image)[0], dtype=bool)


def imgdd_bits(paths, method):
    import imgdd

    found = {}
    for folder in sorted({os.path.dirname(path) for path in paths}):
        found |= {os.path.realpath(path): text for path, text in imgdd.hash(path=folder, algo=method).items()}
    return [bits_of_hex(found[os.path.realpath(path)].zfill(16)) for path in paths]


def hamming(copies, photos):
    """Minus the distances of all pairs; of several hashes of a copy the best counts."""
    photos = np.array(photos, dtype=np.float32) * 2 - 1
    scores = [(np.atleast_2d(np.array(copy, dtype=np.float32)) * 2 - 1) @ photos.T for copy in copies]
    return np.array([score.max(axis=0) for score in scores])


def each(pool, work, paths, *given):
    return list(pool.map(work, paths, *[[value] * len(paths) for value in given], chunksize=25))


def hashes(work, *given):
    def scores(pool, folder, copies, photos):
        return hamming(each(pool, work, copies, *given), each(pool, work, photos, *given))

    return scores


def by_pdq_turns(pool, folder, copies, photos):
    return hamming(each(pool, pdq_bits, copies, True), each(pool, pdq_bits, photos, False))


def by_imgdd(method):
    return lambda pool, folder, copies, photos: hamming(imgdd_bits(copies, method), imgdd_bits(photos, method))


def mean_square_errors(tensor, others):
    from difPy.dif import _compare_imgs

    return [-float(_compare_imgs._compute_mse(tensor, other, rotate=True)) for other in others]


def by_difpy(pool, folder, copies, photos):
    import difPy

    built = difPy.build(*sorted({os.path.dirname(path) for path in photos + copies}), recursive=False, show_progress=False)
    tensors = {os.path.realpath(path): built._tensor_dictionary[number] for number, path in built._filename_dictionary.items()}
    copies, photos = ([tensors[os.path.realpath(path)] for path in paths] for paths in (copies, photos))
    return np.array(each(pool, mean_square_errors, copies, photos))


def by_fastdup(pool, folder, copies, photos):
    import fastdup

    with tempfile.TemporaryDirectory() as work:
        listed = os.path.join(work, "files.txt")
        with open(listed, "w") as out:
            out.writelines(path + "\n" for path in copies + photos)
        fastdup.run(input_dir=listed, work_dir=work, run_mode=1, num_threads=2)
        names, features = fastdup.load_binary_feature(os.path.join(work, "atrain_features.dat"), d=576)
    features = np.array(features) / np.linalg.norm(features, axis=1, keepdims=True)
    place = {os.path.realpath(name): at for at, name in enumerate(names)}
    copies, photos = ([place[os.path.realpath(path)] for path in paths] for paths in (copies, photos))
    return features[copies] @ features[photos].T


def groups_of_czkawka(photo_folder, copy_folder, work, settings):
    written = os.path.join(work, "groups.json")
    search = ["-d", photo_folder, "-d", copy_folder, "-r", photo_folder, "-m", "1", "-s", "40", "-N", "-W", "-C", written]
    own_folders = {"XDG_CONFIG_HOME": work, "XDG_CACHE_HOME": work}
    subprocess.run(["czkawka_cli", "image", *search, *settings], check=True, env=os.environ | own_folders)
    with open(written) as file:
        return json.load(file)


def by_czkawka(*settings):
    """One transform at a time: a copy may be grouped with another copy, and is then of no photo."""

    def scores(pool, folder, copies, photos):
        at_copy, at_photo = ({os.path.realpath(path): at for at, path in enumerate(paths)} for paths in (copies, photos))
        scores = np.full((len(copies), len(photos)), -np.inf)
        with tempfile.TemporaryDirectory() as work:
            for copy_folder in sorted({os.path.dirname(path) for path in at_copy}):
                for photo, similar in groups_of_czkawka(os.path.dirname(next(iter(at_photo))), copy_folder, work, settings):
                    for copy in similar:
                        scores[at_copy[copy["path"]], at_photo[photo["path"]]] = -copy["difference"]
        return scores

    return scores


LANCZOS = ("-z", "Lanczos3")
TURNS = ("--geometric-invariance", "mirror-flip-rotate90")
PEERS = {
    "imagehash phash 64": ("imagehash", hashes(imagehash_bits, "phash", 8)),
    "imagehash phash 256": ("imagehash", hashes(imagehash_bits, "phash", 16)),
    "imagehash dhash 64": ("imagehash", hashes(imagehash_bits, "dhash", 8)),
    "imagehash ahash 64": ("imagehash", hashes(imagehash_bits, "average_hash", 8)),
    "imagehash whash 64": ("imagehash", hashes(imagehash_bits, "whash", 8)),
    "imagededup PHash": ("imagededup", hashes(imagededup_bits, "PHash")),
    "imagededup DHash": ("imagededup", hashes(imagededup_bits, "DHash")),
    "imagededup WHash": ("imagededup", hashes(imagededup_bits, "WHash")),
    "imgdd dHash": ("imgdd", by_imgdd("dHash")),
    "imgdd pHash": ("imgdd", by_imgdd("pHash")),
    "imgdd wHash": ("imgdd", by_imgdd("wHash")),
    "pdq": ("pdqhash", hashes(pdq_bits, False)),
    "pdq, 8 turns": ("pdqhash", by_pdq_turns),
    "difPy": ("difPy", by_difpy),
    "fastdup": ("fastdup", by_fastdup),
    "czkawka": ("czkawka_cli", by_czkawka()),
    "czkawka, 8 turns": ("czkawka_cli", by_czkawka(*TURNS)),
    "czkawka, Lanczos3": ("czkawka_cli", by_czkawka(*LANCZOS)),
    "czkawka, Lanczos3, 8 turns": ("czkawka_cli", by_czkawka(*LANCZOS, *TURNS)),
    "czkawka DoubleGradient, Lanczos3, 8 turns": ("czkawka_cli", by_czkawka("-g", "DoubleGradient", *LANCZOS, *TURNS)),
}


def installed(needed):
    return importlib.util.find_spec(needed) or shutil.which(needed)


def recalls(scores, sources, transforms):
    """Per transform, the share of copies above every impostor."""
    rows = np.arange(len(scores))
    own = scores[rows, sources].copy()
    others = scores.copy()
    others[rows, sources] = -np.inf
    found = own > others.max()
    return {name: float(found[transforms == name].mean()) for name in np.unique(transforms)}


@contextlib.contextmanager
def output_to_errors():
    """For what the tools say, also below Python."""
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(output, 1)
        os.close(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--only", nargs="+", default=list(PEERS))
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    with open(os.path.join(asked.folder, "copies.csv"), newline="") as file:
        listed = list(csv.DictReader(file))
    photos = sorted(os.path.join(asked.folder, "photos", name) for name in os.listdir(os.path.join(asked.folder, "photos")))
    copies = [os.path.join(asked.folder, row["copy"]) for row in listed]
    sources = np.array([photos.index(os.path.join(asked.folder, row["source"])) for row in listed])
    transforms = np.array([row["transform"] for row in listed])
    print(f"{len(photos)} photos, {len(copies)} copies, {len(np.unique(transforms))} transforms")
    with ProcessPoolExecutor(2) as pool:
        for name in asked.only:
            needed, work = PEERS[name]
            if not installed(needed):
                print(f"{name}: not run: {needed} is not installed", flush=True)
                continue
            with output_to_errors():
                scores = work(pool, asked.folder, copies, photos)
            found = recalls(scores, sources, transforms)
            good = sum(share >= 0.95 for share in found.values())
            print(f"{name:<22} mean {np.mean(list(found.values())):.3f}, at least 0.95: {good}", flush=True)
            if asked.table:
                print("  " + ", ".join(f"{transform} {share:.2f}" for transform, share in found.items()), flush=True)


if __name__ == "__main__":
    main()
