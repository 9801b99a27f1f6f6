"""What other programs make of the frames of tests/measures.rs -> reference.csv, beside this file.

    pip install scikit-image==0.26.0 && python tests/measures/reference.py

The frames are made from integers here and there alike. `ssim` with `like=scikit-image` and `like=wang` is scikit-image; with `like=paper` it is
three lines of scipy after MATLAB's documentation of `ssim` (Gaussian of standard deviation 1.5 in every dimension, edges replicated), as
scikit-image has no volumes with replicated edges.
"""
import csv
import pathlib

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity


def frame(width, height, planes, seed):
    p, y, x = np.meshgrid(np.arange(planes), np.arange(height), np.arange(width), indexing="ij")
    waves = x * (3 + seed) + y * (5 + 2 * seed) + (x * y >> 2) + 40 * ((x >> 3) ^ (y >> 3)) + 61 * p
    return ((waves + (x * 7919 + y * 104729 + p * 31337 + seed * 15485863) % 23) % 256).astype(np.uint8)


def scikit_image(a, b):
    return structural_similarity(a, b, channel_axis=0, data_range=255)


def wang(a, b):
    luma = lambda f: np.tensordot([0.299, 0.587, 0.114], f.astype(float), 1) if len(f) == 3 else f[0].astype(float)
    return structural_similarity(luma(a), luma(b), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)


def paper(a, b):
    a, b = (f.astype(float) if len(f) == 3 else f[0].astype(float) for f in (a, b))
    mean = lambda v: gaussian_filter(v, 1.5, mode="nearest", truncate=3.5)
    (ma, mb), (c1, c2) = (mean(a), mean(b)), ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    return ((2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()


MEASURES = {
    "ssim:like=scikit-image": scikit_image,
    "ssim:like=scikit-image,uniform=11": lambda a, b: structural_similarity(a, b, win_size=11, channel_axis=0, data_range=255),
    "ssim:like=scikit-image,k1=0.02,k2=0.1": lambda a, b: structural_similarity(a, b, K1=0.02, K2=0.1, channel_axis=0, data_range=255),
    "ssim:like=scikit-image,gaussian=1.5": lambda a, b: structural_similarity(a, b, gaussian_weights=True, channel_axis=0, data_range=255),
    "ssim:like=scikit-image,gaussian=2.5,covariance=population": lambda a, b: structural_similarity(
        a, b, gaussian_weights=True, sigma=2.5, use_sample_covariance=False, channel_axis=0, data_range=255
    ),
    "ssim:like=wang": wang,
    "ssim:like=paper": paper,
}
CASES = [(32, 32, 3, 0, 1), (32, 32, 3, 2, 2), (45, 23, 3, 1, 3), (28, 28, 1, 0, 2), (64, 64, 3, 0, 3)]

if __name__ == "__main__":
    with open(pathlib.Path(__file__).with_name("reference.csv"), "w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["measure", "width", "height", "planes", "seed_a", "seed_b", "similarity"])
        for name, measure in MEASURES.items():
            for width, height, planes, *seeds in CASES:
                a, b = (frame(width, height, planes, seed) for seed in seeds)
                rows.writerow([name, width, height, planes, *seeds, f"{measure(a, b):.12f}"])
