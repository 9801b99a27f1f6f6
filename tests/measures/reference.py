"""What other programs make of the frames of tests/measures.rs -> reference.csv, beside this file.

    pip install scikit-image==0.26.0 pyrtools==1.1.1
    PYTHONPATH=REFERENCES python tests/measures/reference.py

The frames are made from integers here and there alike. `ssim` with `like=scikit-image` and `like=wang` is scikit-image; with `like=paper` it is
three lines of scipy after MATLAB's documentation of `ssim` (Gaussian of standard deviation 1.5 in every dimension, edges replicated), as
scikit-image has no volumes with replicated edges. REFERENCES is a folder with `haarPsi.py` of github.com/rgcda/haarpsi (2018-01-08, by the
authors of HaarPSI) and the folder `metrics_cpu` of github.com/KaixuanZ/STSIM (of the group of STSIM; there `np.complex` must be made `complex`). `cw-ssim`
is the formula of its papers on the pyramids of pyrtools.
"""
import csv
import pathlib

import numpy as np
import pyrtools
from haarPsi import haar_psi_numpy
from metrics_cpu.metric import Metric
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d
from skimage.metrics import structural_similarity


def frame(width, height, planes, seed):
    p, y, x = np.meshgrid(np.arange(planes), np.arange(height), np.arange(width), indexing="ij")
    waves = x * (3 + seed) + y * (5 + 2 * seed) + (x * y >> 2) + 40 * ((x >> 3) ^ (y >> 3)) + 61 * p
    return ((waves + (x * 7919 + y * 104729 + p * 31337 + seed * 15485863) % 23) % 256).astype(np.uint8)


def scikit_image(a, b):
    return structural_similarity(a, b, channel_axis=0, data_range=255)


def luma(f):
    return np.tensordot([0.299, 0.587, 0.114], f.astype(float), 1) if len(f) == 3 else f[0].astype(float)


def haarpsi(a, b):
    return haar_psi_numpy(*(f.transpose(1, 2, 0).squeeze() for f in (a, b)))[0]


def stsim(a, b):
    return Metric().STSIM2(luma(a), luma(b))


def cw_ssim(a, b):
    scales = int(np.log2(min(a.shape[1:]))) - 2
    a, b = (pyrtools.pyramids.SteerablePyramidFreq(luma(f), scales, 7, is_complex=True).pyr_coeffs for f in (a, b))
    sums = lambda v: correlate2d(v, np.ones((7, 7)), mode="valid")
    band = lambda x, y: ((2 * abs(sums(x * y.conj())) + 0.01) / (sums(abs(x) ** 2) + sums(abs(y) ** 2) + 0.01)).mean()
    return np.mean([band(a[key], b[key]) for key in a if isinstance(key, tuple) and min(a[key].shape) >= 7])


def wang(a, b):
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
    "haarpsi": haarpsi,
    "cw-ssim": cw_ssim,
    "stsim": stsim,
}
# These two are for sides that can be halved, and for bands that have room for a window.
SPECIAL = {
    "cw-ssim": [(32, 32, 3, 0, 1), (28, 28, 1, 0, 2), (64, 64, 3, 0, 3), (48, 32, 3, 1, 2)],
    "stsim": [(64, 64, 3, 0, 1), (64, 64, 1, 2, 3), (96, 64, 3, 1, 3), (128, 128, 1, 0, 2)],
}
CASES = [(32, 32, 3, 0, 1), (32, 32, 3, 2, 2), (45, 23, 3, 1, 3), (28, 28, 1, 0, 2), (64, 64, 3, 0, 3)]

if __name__ == "__main__":
    with open(pathlib.Path(__file__).with_name("reference.csv"), "w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["measure", "width", "height", "planes", "seed_a", "seed_b", "similarity"])
        for name, measure in MEASURES.items():
            for width, height, planes, *seeds in SPECIAL.get(name, CASES):
                a, b = (frame(width, height, planes, seed) for seed in seeds)
                rows.writerow([name, width, height, planes, *seeds, f"{measure(a, b):.12f}"])
