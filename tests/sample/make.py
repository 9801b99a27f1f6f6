#!/usr/bin/env python3
"""Draws the sample dataset: `python3 make.py` rewrites images/, new/ and README.md beside this file.

Every picture is computed here from numbers and one fixed seed: there is no photograph behind it, and all of it is in the public domain
(CC0). A scene is painted in layers with 1/f noise as texture, light from one side, haze, grain and the rounding of a lens, so that
its spectrum resembles that of a photograph. A drawing too similar to an earlier one is thrown away and drawn anew; the relations that the
dataset is there to show are planted at the end, and all of it is measured before the script says that it is done.

Needs Pillow and numpy. The files in the repository are what counts: another version of Pillow may encode other bytes.
"""

import io
import itertools
import math
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).resolve().parent
SEED = 20_200_402
OVERSAMPLING = 2
PER_LABEL = 11  # of which the last three are in test
SIZES = [(208, 156), (176, 176), (156, 208), (216, 144), (192, 160), (160, 192), (144, 216)]

NOON = dict(top=(0.25, 0.50, 0.86), low=(0.74, 0.86, 0.95), cloud=(1, 1, 1), light=1.0, tint=(1, 1, 0.97))
DUSK = dict(top=(0.22, 0.18, 0.42), low=(0.98, 0.58, 0.28), cloud=(0.95, 0.45, 0.42), light=0.72, tint=(1.08, 0.9, 0.78))
NIGHT = dict(top=(0.02, 0.03, 0.10), low=(0.10, 0.15, 0.30), cloud=(0.16, 0.19, 0.32), light=0.34, tint=(0.75, 0.9, 1.3))
STORM = dict(top=(0.22, 0.25, 0.28), low=(0.55, 0.58, 0.58), cloud=(0.12, 0.14, 0.17), light=0.6, tint=(0.95, 1, 1.02))
FOG = dict(top=(0.72, 0.75, 0.77), low=(0.86, 0.87, 0.86), cloud=(0.95, 0.95, 0.95), light=0.85, tint=(1, 1, 1))
DAWN = dict(top=(0.55, 0.66, 0.86), low=(1.0, 0.82, 0.76), cloud=(1.0, 0.72, 0.74), light=0.85, tint=(1.05, 0.96, 0.95))
GREEN = dict(top=(0.10, 0.42, 0.46), low=(0.80, 0.92, 0.66), cloud=(0.95, 1, 0.85), light=0.9, tint=(0.95, 1.05, 0.92))
MOODS = [NOON, DUSK, NIGHT, STORM, FOG, DAWN, GREEN]


def rgb(colour):
    return np.asarray(colour, float)


def smooth(x, low, high):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Scene:
    """A canvas. Lengths are in units of its height: y runs down from 0 to 1, x from 0 to `self.a`."""

    def __init__(self, size, rng):
        self.size, self.rng = size, rng
        self.w, self.h = size[0] * OVERSAMPLING, size[1] * OVERSAMPLING
        self.a = self.w / self.h
        self.y, self.x = np.mgrid[0 : self.h, 0 : self.w] / self.h
        self.px = np.zeros((self.h, self.w, 3))

    def u(self, low, high):
        return float(self.rng.uniform(low, high))

    def pick(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def noise(self, beta=1.0, sx=1.0, sy=1.0):
        """Periodic Gaussian noise of amplitude spectrum 1/f^beta, mean 0, deviation 1, stretched by sx and sy."""
        fy = np.fft.fftfreq(self.h)[:, None] * self.h * sy
        fx = np.fft.rfftfreq(self.w)[None, :] * self.w * sx / self.a
        f = np.sqrt(fx * fx + fy * fy)
        f[0, 0] = 1
        shape = f.shape
        spectrum = (self.rng.normal(size=shape) + 1j * self.rng.normal(size=shape)) / f**beta
        spectrum[0, 0] = 0
        field = np.fft.irfft2(spectrum, (self.h, self.w))
        return field / (field.std() + 1e-9)

    def mask(self, draw):
        image = Image.new("L", (self.w, self.h))
        draw(ImageDraw.Draw(image))
        return np.asarray(image, float) / 255

    def polygon(self, points):
        return self.mask(lambda d: d.polygon([(x * self.h, y * self.h) for x, y in points], fill=255))

    def line(self, points, width):
        flat = [(x * self.h, y * self.h) for x, y in points]
        return self.mask(lambda d: d.line(flat, fill=255, width=max(1, round(width * self.h)), joint="curve"))

    def box(self, x0, y0, x1, y1):
        return self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    def oval(self, cx, cy, rx, ry, turn=0.0):
        c, s = math.cos(turn), math.sin(turn)
        dx, dy = self.x - cx, self.y - cy
        r = np.hypot((dx * c + dy * s) / rx, (dy * c - dx * s) / ry)
        return np.clip((1 - r) * min(rx, ry) * self.h + 0.5, 0, 1)

    def blur(self, mask, radius):
        image = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
        return np.asarray(image.filter(ImageFilter.GaussianBlur(radius * self.h)), float) / 255

    def paint(self, mask, colour, texture=0.0, beta=1.1, sx=1.0, sy=1.0, light=None):
        colour = np.broadcast_to(rgb(colour), self.px.shape)
        if texture:
            colour = colour * (1 + texture * self.noise(beta, sx, sy))[..., None]
        if light is not None:
            colour = colour * np.asarray(light)[..., None]
        m = mask[..., None]
        self.px = self.px * (1 - m) + colour * m

    def dim(self, mask, factor):
        self.px *= (1 - mask * (1 - factor))[..., None]

    def glow(self, cx, cy, radius, colour, strength):
        fall = np.exp(-((self.x - cx) ** 2 + (self.y - cy) ** 2) / (2 * radius**2))
        self.px += strength * fall[..., None] * rgb(colour)

    def side(self, cx, half, low=0.55, high=1.25, peak=-0.45):
        """Light on an upright cylinder."""
        t = np.clip((self.x - cx) / half, -1, 1)
        return low + (high - low) * np.clip(np.cos((t - peak) * 1.35), 0, 1)

    def ball(self, cx, cy, rx, ry, low=0.5, high=1.3):
        """Light on a ball, from the upper left."""
        d = ((self.x - cx) / rx + 0.45) ** 2 + ((self.y - cy) / ry + 0.5) ** 2
        return low + (high - low) * np.exp(-d * 0.8)

    def lay(self, horizon, field):
        """`field` seen lying on the ground below the horizon: sampled in perspective."""
        depth = np.maximum(self.y - horizon, 0) + 0.02
        u = ((self.x - self.a / 2) / depth * 0.16 * self.h).astype(int) % self.w
        v = (0.11 / depth * self.h).astype(int) % self.h
        return field[v, u]

    def finish(self, tint=(1, 1, 1), grain=0.012):
        px = self.px * rgb(tint)
        r2 = ((self.x - self.a / 2) ** 2 + (self.y - 0.5) ** 2) / (self.a**2 / 4 + 0.25)
        px = px * (1 - 0.22 * r2)[..., None]
        px = px + grain * self.noise(0.35)[..., None]
        px = np.clip(px, 0, None)
        px = px / (1 + 0.22 * np.maximum(px - 0.75, 0) * 2)
        image = Image.fromarray((np.clip(px, 0, 1) * 255 + 0.5).astype(np.uint8))
        return image.resize(self.size, Image.LANCZOS)


# --- what several scenes share -----------------------------------------------------------------------------------------------------------


def sky(s, mood, horizon):
    t = np.clip(s.y / max(horizon, 0.05), 0, 1)[..., None] ** 0.8
    s.px = rgb(mood["top"]) * (1 - t) + rgb(mood["low"]) * t
    cover = s.u(-0.6, 1.2)
    cloud = smooth(s.noise(1.5, 0.8, 2.2), cover, cover + 1.3) * s.u(0.4, 0.95)
    s.paint(cloud, rgb(mood["cloud"]), 0.06, 1.3)
    if mood is NIGHT:
        stars = (s.rng.random((s.h, s.w)) > 0.9994) * 1.0
        s.px += s.blur(stars, 0.0022)[..., None] * 4
        x, y = s.u(0.15, 0.85) * s.a, s.u(0.1, 0.3)
        s.glow(x, y, 0.12, (0.5, 0.6, 0.8), 0.35)
        s.paint(s.oval(x, y, 0.045, 0.045), (0.95, 0.95, 0.86), 0.08)
    elif mood in (DUSK, DAWN):
        x, y = s.u(0.1, 0.9) * s.a, horizon - s.u(0.02, 0.2)
        s.glow(x, y, 0.22, (1.0, 0.6, 0.3), 0.45)
        s.paint(s.oval(x, y, 0.05, 0.05), (1.0, 0.93, 0.72))


def hills(s, mood, horizon, colour, height):
    ridge = horizon - height * (0.5 + 0.5 * s.noise(2.2)[s.h // 2]) * s.u(0.6, 1)
    mask = smooth(s.y - ridge[None, :], 0, 0.006) * (s.y < horizon + 0.02)
    haze = 0.45 * rgb(mood["low"]) + 0.55 * rgb(colour) * mood["light"]
    s.paint(mask, haze, 0.10, 1.2)


def ground(s, mood, horizon, colour, texture=0.16, tufts=0.12):
    mask = smooth(s.y, horizon, horizon + 0.008)
    lie = s.lay(horizon, s.noise(0.8))
    patch = s.noise(1.6, 0.6, 2)
    fall = 0.8 + 0.5 * np.clip(s.y - horizon, 0, 1)
    light = mood["light"] * fall * (1 + texture * lie + tufts * patch)
    s.paint(mask, colour, light=light)


def water(s, mood, horizon, colour):
    depth = np.clip((s.y - horizon) / (1 - horizon), 0, 1)[..., None]
    body = rgb(mood["low"]) * 0.75 * (1 - depth) + rgb(colour) * mood["light"] * depth
    wave = s.lay(horizon, s.noise(0.9, 0.35, 1.6)) * 0.14 + s.noise(1.2, 0.25, 3) * 0.06
    mask = smooth(s.y, horizon, horizon + 0.006)
    s.paint(mask, body * (1 + wave)[..., None])
    if mood in (DUSK, DAWN, NIGHT, NOON):
        x = s.u(0.1, 0.9) * s.a
        lane = np.exp(-(((s.x - x) / (0.04 + 0.35 * np.clip(s.y - horizon, 0, 1))) ** 2))
        spark = smooth(wave, 0.05, 0.3) * lane * mask
        s.px += 0.7 * spark[..., None] * rgb(mood["low"])


def open_air(s, mood, low=0.35, high=0.75):
    horizon = s.u(low, high)
    sky(s, mood, horizon)
    if s.u(0, 1) < 0.65:
        hills(s, mood, horizon, s.pick((0.25, 0.4, 0.3), (0.4, 0.35, 0.4), (0.5, 0.42, 0.3), (0.3, 0.4, 0.55)), s.u(0.06, 0.3))
    return horizon


WALLS = [
    (0.80, 0.78, 0.70),
    (0.62, 0.72, 0.76),
    (0.85, 0.72, 0.55),
    (0.55, 0.66, 0.55),
    (0.88, 0.86, 0.84),
    (0.72, 0.52, 0.45),
    (0.42, 0.46, 0.55),
]
TABLES = [
    (0.50, 0.32, 0.18),
    (0.35, 0.22, 0.14),
    (0.70, 0.50, 0.30),
    (0.82, 0.80, 0.76),
    (0.28, 0.30, 0.32),
    (0.45, 0.20, 0.16),
    (0.22, 0.30, 0.42),
]


def room(s, kind):
    """A table before a wall; where the wall ends."""
    edge = s.u(0.42, 0.72)
    a, b = rgb(s.pick(*WALLS)) * s.u(0.85, 1.1), rgb(s.pick(*TABLES)) * s.u(0.85, 1.1)
    if kind == "tiles":
        k = s.u(0.09, 0.18)
        seam = np.maximum(np.abs((s.x / k) % 1 - 0.5), np.abs((s.y / k) % 1 - 0.5)) > 0.47
        cell = s.rng.normal(size=(40, 40))[(s.y / k).astype(int) % 40, (s.x / k).astype(int) % 40]
        s.px = a * (1 + 0.1 * cell)[..., None]
        s.dim(seam * 1.0, 0.6)
    elif kind == "stripes":
        k = s.u(0.10, 0.25)
        s.px = np.where(((s.x / k) % 1 < 0.5)[..., None], a, 0.6 * a + 0.4 * b) * np.ones((s.h, s.w, 1))
    elif kind == "window":
        s.px = np.ones((s.h, s.w, 3)) * a * 0.7
        x0, half = s.u(0.1, 0.55) * s.a, s.u(0.15, 0.25)
        s.paint(s.box(x0, 0.04, x0 + 2 * half, edge - 0.08), (0.8, 0.92, 1.0), 0.08)
        for bar in [s.box(x0 + half - 0.012, 0.04, x0 + half + 0.012, edge - 0.08), s.box(x0, 0.2, x0 + 2 * half, 0.22)]:
            s.paint(bar, (0.9, 0.88, 0.84))
    else:  # lights out of focus
        s.px = np.ones((s.h, s.w, 3)) * a * 0.35
        for _ in range(26):
            r = s.u(0.03, 0.09)
            s.px += 0.35 * s.blur(s.oval(s.u(0, s.a), s.u(0, 1), r, r), 0.006)[..., None] * s.rng.uniform(0.2, 1.0, 3)
    lamp = s.u(0, 1) * s.a
    s.px *= (0.6 + 0.6 * np.exp(-((s.x - lamp) ** 2 + (s.y - 0.1) ** 2) / 0.5))[..., None] * (1 + 0.05 * s.noise(1.2))[..., None]
    table = smooth(s.y, edge, edge + 0.01)
    wood = s.lay(edge - 0.25, s.noise(1.0, 0.2, 3)) if s.u(0, 1) < 0.6 else s.noise(1.4)
    s.paint(table, b, light=(0.7 + 0.5 * s.y) * (1 + 0.13 * wood))
    return edge


# --- boats -------------------------------------------------------------------------------------------------------------------------------


def hull(s, cx, line, half, depth, colour, light):
    shape = [(cx - half, line - depth), (cx + half * 1.12, line - depth * 1.25), (cx + half * 0.78, line), (cx - half * 0.82, line)]
    mask = s.polygon(shape)
    s.paint(mask, colour, 0.07, light=light * (1.15 - 1.5 * np.clip(s.y - line + depth, 0, 0.3)))
    s.paint(mask * s.box(0, line - depth * 0.62, s.a, line - depth * 0.45), (0.95, 0.95, 0.92), light=np.full(s.y.shape, light))
    mirror = s.blur(s.polygon([(x, 2 * line - y) for x, y in shape]), 0.012)
    s.paint(mirror * 0.45 * (1 + 0.3 * s.noise(1, 0.3, 3)).clip(0, 2), rgb(colour) * light * 0.6)


def boat(s, kind, mood):
    horizon = open_air(s, mood, 0.28, 0.62)
    water(s, mood, horizon, s.pick((0.05, 0.25, 0.42), (0.10, 0.45, 0.45), (0.20, 0.25, 0.28), (0.03, 0.15, 0.25)))
    cx, line = s.u(0.3, 0.7) * s.a, horizon + s.u(0.10, 0.26)
    half, light = s.u(0.17, 0.30), max(mood["light"], 0.45)
    colour = s.pick((0.75, 0.12, 0.10), (0.10, 0.22, 0.50), (0.92, 0.92, 0.9), (0.10, 0.35, 0.25), (0.15, 0.13, 0.13), (0.9, 0.65, 0.1))
    if kind == "sail":
        top = line - s.u(0.45, 0.62)
        lean = s.u(-0.04, 0.04)
        s.paint(s.line([(cx, line - 0.05), (cx + lean, top)], 0.012), (0.3, 0.22, 0.15))
        cloth = s.pick((0.97, 0.96, 0.92), (0.85, 0.25, 0.18), (0.95, 0.75, 0.35), (0.35, 0.55, 0.75))
        s.paint(
            s.polygon([(cx + lean + 0.01, top), (cx + 0.015, line - 0.1), (cx + half * 1.1, line - 0.12)]),
            cloth,
            0.05,
            light=light * s.side(cx + 0.1, 0.3),
        )
        s.paint(
            s.polygon([(cx + lean - 0.01, top + 0.05), (cx - 0.02, line - 0.1), (cx - half * 0.95, line - 0.09)]),
            rgb(cloth) * 0.85,
            0.05,
            light=light * s.side(cx - 0.1, 0.3),
        )
        hull(s, cx, line, half, 0.07, colour, light)
    elif kind == "steamer":
        deck = line - 0.10
        for k, width in enumerate((0.75, 0.5)):
            s.paint(
                s.box(cx - half * width, deck - 0.085 * (k + 1), cx + half * width * 0.8, deck - 0.085 * k),
                (0.93, 0.91, 0.86),
                0.05,
                light=np.full(s.y.shape, light),
            )
            for j in np.linspace(-0.6, 0.6, 6 - k):
                s.paint(
                    s.oval(cx + j * half * width, deck - 0.045 - 0.085 * k, 0.012, 0.015),
                    (1, 0.85, 0.4) if mood is NIGHT else (0.15, 0.2, 0.3),
                )
        s.paint(s.box(cx - 0.05, deck - 0.31, cx + 0.03, deck - 0.16), colour, 0.05, light=light * s.side(cx, 0.05))
        smoke = s.blur(
            s.polygon([(cx - 0.01, deck - 0.31), (cx - 0.45, deck - 0.55), (cx - 0.3, deck - 0.62), (cx + 0.02, deck - 0.34)]), 0.03
        )
        s.paint(smoke * smooth(s.noise(1.2), -1.5, 1), (0.35, 0.34, 0.34), 0.15)
        hull(s, cx, line, half * 1.25, 0.11, colour, light)
    else:  # a rowing boat, close by, seen from above
        line += 0.12
        turn = s.u(-0.45, 0.45)
        s.dim(s.blur(s.oval(cx + 0.02, line + 0.05, half * 1.5, 0.15, turn), 0.02), 0.55)
        s.paint(s.oval(cx, line, half * 1.5, 0.14, turn), colour, 0.08, light=light * s.ball(cx, line, half, 0.15))
        s.paint(s.oval(cx, line - 0.012, half * 1.36, 0.11, turn), (0.55, 0.37, 0.2), 0.2, 1, 3, 1, light=np.full(s.y.shape, light))
        s.paint(s.oval(cx, line + 0.012, half * 1.2, 0.075, turn), (0.3, 0.19, 0.1), 0.15, light=np.full(s.y.shape, light))
        for j in (-0.6, 0.05, 0.6):
            bx, by = cx + j * half * math.cos(turn), line + j * half * math.sin(turn)
            s.paint(
                s.line([(bx - 0.02, by - 0.085), (bx + 0.02, by + 0.085)], 0.05), (0.72, 0.52, 0.3), 0.1, light=np.full(s.y.shape, light)
            )
        s.paint(s.line([(cx - 0.05, line - 0.03), (cx - half * 1.7, line + 0.2)], 0.014), (0.8, 0.66, 0.45))
    return s.finish(mood["tint"])


# --- houses ------------------------------------------------------------------------------------------------------------------------------


def windows(s, x0, y0, x1, y1, columns, rows, lit, light):
    for i, j in itertools.product(range(columns), range(rows)):
        w, h = (x1 - x0) / columns, (y1 - y0) / rows
        x, y = x0 + i * w + 0.24 * w, y0 + j * h + 0.2 * h
        bright = lit and s.u(0, 1) < 0.6
        glass = s.pick((1.0, 0.82, 0.4), (1.0, 0.7, 0.3)) if bright else rgb((0.2, 0.28, 0.38)) * light * s.u(0.6, 1.5)
        s.paint(s.box(x - 0.1 * w, y - 0.07 * h, x + 0.62 * w, y + 0.67 * h), rgb((0.92, 0.9, 0.85)) * light)
        s.paint(s.box(x, y, x + 0.52 * w, y + 0.6 * h), glass, 0.15, 1.2)
        s.paint(s.box(x + 0.24 * w, y, x + 0.28 * w, y + 0.6 * h), rgb((0.85, 0.83, 0.8)) * light)


def wall(s, mask, colour, light):
    brick = 0.93 + 0.07 * (((s.y / 0.028) % 1 > 0.12) & (((s.x / 0.06 + 0.5 * (np.floor(s.y / 0.028) % 2)) % 1) > 0.06))
    s.paint(mask, colour, 0.07, 1.0, light=light * brick * (1.08 - 0.25 * (s.x / s.a)))


def house(s, kind, mood):
    horizon = open_air(s, mood, 0.42, 0.72)
    soil = s.pick((0.30, 0.45, 0.16), (0.88, 0.9, 0.95), (0.62, 0.50, 0.32), (0.35, 0.35, 0.36), (0.55, 0.55, 0.2))
    ground(s, mood, horizon, soil)
    light = max(mood["light"], 0.42)
    lit = mood in (NIGHT, DUSK, STORM)
    colour = s.pick((0.72, 0.30, 0.22), (0.93, 0.88, 0.76), (0.45, 0.60, 0.72), (0.92, 0.72, 0.36), (0.55, 0.66, 0.48), (0.85, 0.55, 0.55))
    roof = s.pick((0.45, 0.16, 0.12), (0.2, 0.2, 0.24), (0.35, 0.24, 0.16), (0.15, 0.3, 0.32))
    cx, base = s.u(0.35, 0.65) * s.a, horizon + s.u(0.10, 0.22)
    if kind == "cottage":
        half, tall, peak = s.u(0.2, 0.3), s.u(0.2, 0.28), s.u(0.15, 0.24)
        s.dim(s.blur(s.polygon([(cx - half, base), (cx + half, base), (cx + half * 2.1, base + 0.07), (cx, base + 0.07)]), 0.012), 0.5)
        s.paint(
            s.box(cx + half * 0.4, base - tall - peak, cx + half * 0.6, base - tall), (0.5, 0.25, 0.2), 0.1, light=np.full(s.y.shape, light)
        )
        wall(s, s.box(cx - half, base - tall, cx + half, base), colour, light)
        s.paint(
            s.polygon(
                [
                    (cx - half * 1.15, base - tall + 0.01),
                    (cx - half * 0.6, base - tall - peak),
                    (cx + half * 0.6, base - tall - peak),
                    (cx + half * 1.15, base - tall + 0.01),
                ]
            ),
            roof,
            0.14,
            0.7,
            3,
            0.6,
            light=np.full(s.y.shape, light),
        )
        windows(s, cx - half, base - tall * 0.85, cx + half, base - tall * 0.2, 3, 1, lit, light)
        s.paint(s.box(cx - 0.035, base - tall * 0.6, cx + 0.035, base), rgb(roof) * 1.3, 0.1, light=np.full(s.y.shape, light))
    elif kind == "tower":
        for k in range(s.pick(2, 3, 4)):
            x, half, top = s.u(0.1, 0.9) * s.a, s.u(0.08, 0.15), s.u(0.06, 0.4)
            wall(s, s.box(x - half, top, x + half, base + 0.03 * k), rgb(colour) * s.u(0.6, 1.1), light * s.side(x, half, 0.6, 1.1))
            windows(s, x - half, top + 0.03, x + half, base - 0.05, s.pick(3, 4), int((base - top) / 0.07), lit, light)
    elif kind == "gable":
        half, tall, peak = s.u(0.16, 0.24), s.u(0.28, 0.38), s.u(0.16, 0.26)
        back = [(cx + half, base), (cx + half, base - tall), (cx + half + 0.4, base - tall * 0.75), (cx + half + 0.4, base - 0.07)]
        wall(s, s.polygon(back), rgb(colour) * 0.6, light)
        s.paint(
            s.polygon(
                [
                    (cx, base - tall - peak),
                    (cx + half * 1.05, base - tall),
                    (cx + half + 0.42, base - tall * 0.75),
                    (cx + 0.36, base - tall - peak * 0.6),
                ]
            ),
            roof,
            0.13,
            0.8,
            light=np.full(s.y.shape, light * 0.8),
        )
        wall(
            s,
            s.polygon([(cx - half, base), (cx - half, base - tall), (cx, base - tall - peak), (cx + half, base - tall), (cx + half, base)]),
            colour,
            light,
        )
        for dx in (-1, 1):
            s.paint(s.line([(cx, base - tall - peak - 0.01), (cx + dx * half * 1.15, base - tall + 0.03)], 0.03), rgb(roof) * light)
        windows(s, cx - half, base - tall, cx + half, base - 0.13, 2, 2, lit, light)
        s.paint(s.box(cx - 0.04, base - 0.13, cx + 0.04, base), (0.3, 0.18, 0.12), 0.1, light=np.full(s.y.shape, light))
    else:  # a row of narrow houses
        x, tints = -s.u(0, 0.1), [
            (0.8, 0.35, 0.25),
            (0.95, 0.85, 0.6),
            (0.4, 0.55, 0.65),
            (0.9, 0.6, 0.3),
            (0.6, 0.7, 0.5),
            (0.85, 0.85, 0.85),
            (0.65, 0.3, 0.35),
        ]
        while x < s.a:
            w, top = s.u(0.15, 0.28), s.u(0.15, 0.35)
            wall(s, s.box(x, top, x + w, base), s.pick(*tints), light)
            s.paint(
                s.polygon([(x - 0.01, top), (x + w / 2, top - s.u(0.05, 0.14)), (x + w + 0.01, top)]),
                rgb(roof) * s.u(0.7, 1.3),
                0.1,
                light=np.full(s.y.shape, light),
            )
            windows(s, x, top + 0.02, x + w, base - 0.13, 2, 3, lit, light)
            s.paint(s.box(x + w * 0.4, base - 0.12, x + w * 0.62, base), s.pick(*tints), 0.08, light=np.full(s.y.shape, 0.7 * light))
            x += w
    return s.finish(mood["tint"])


# --- trees -------------------------------------------------------------------------------------------------------------------------------


def branches(s, x, y, length, angle, width, colour, depth):
    if depth == 0:
        return
    nx, ny = x + length * math.cos(angle), y - length * math.sin(angle)
    s.paint(s.line([(x, y), (nx, ny)], width), colour)
    for turn in (s.u(0.25, 0.6), -s.u(0.25, 0.6)):
        branches(s, nx, ny, length * s.u(0.66, 0.82), angle + turn, width * 0.66, colour, depth - 1)


def foliage(s, cx, cy, rx, ry, colour, light, clumps=70):
    for i in range(clumps):
        t, r = s.u(0, 2 * math.pi), math.sqrt(s.u(0, 1))
        x, y = cx + rx * r * math.cos(t), cy + ry * r * math.sin(t)
        lit = 1.15 - 0.55 * (y - cy + ry) / (2 * ry) - 0.25 * (x - cx) / rx + 0.15 * (i / clumps)
        size = s.u(0.18, 0.34) * min(rx, ry)
        blob = s.oval(x, y, size, size) * smooth(s.noise(0.7), -1.3, -0.2)
        s.paint(blob, rgb(colour) * light * lit * s.u(0.8, 1.2))


def conifer(s, cx, base, tall, colour, light):
    s.paint(s.box(cx - 0.012, base - 0.08, cx + 0.012, base), (0.22, 0.15, 0.1))
    for k in range(7):
        y, half = base - 0.05 - tall * k / 7.5, tall * 0.30 * (1 - k / 7.4)
        droop = [
            (cx - half, y),
            (cx - half * 0.5, y - 0.02),
            (cx, y - 0.01),
            (cx + half * 0.5, y - 0.02),
            (cx + half, y),
            (cx, y - tall * 0.24),
        ]
        s.paint(
            s.polygon(droop) * smooth(s.noise(0.6), -1.8, -0.6),
            colour,
            0.22,
            0.7,
            light=light * s.side(cx, half + 0.01, 0.6, 1.25) * (0.8 + 0.06 * k),
        )


def palm(s, cx, base, tall, colour, light):
    tip = cx + s.u(-0.15, 0.15)
    bend = [(cx + (tip - cx) * (t / 10) ** 2, base - tall * t / 10) for t in range(11)]
    s.paint(s.line(bend, 0.035), (0.5, 0.38, 0.25), 0.25, 0.6, 3, 0.5, light=np.full(s.y.shape, light))
    for k in range(11):
        a = math.pi * k / 10 + s.u(-0.1, 0.1)
        reach = s.u(0.24, 0.34)
        rib = [
            (tip + reach * t * math.cos(a), base - tall - reach * t * math.sin(a) * 0.7 + 0.35 * reach * t * t)
            for t in np.linspace(0, 1, 9)
        ]
        for (x, y), t in zip(rib, np.linspace(0, 1, 9)):
            for d in (-1, 1):
                s.paint(s.line([(x, y), (x + d * 0.015, y + 0.075 * (1.1 - t))], 0.009), rgb(colour) * light * s.u(0.7, 1.3))
        s.paint(s.line(rib, 0.012), rgb(colour) * light * 0.8)


def tree(s, kind, mood):
    horizon = open_air(s, mood, 0.5, 0.85)
    soil = s.pick((0.32, 0.44, 0.14), (0.9, 0.92, 0.96), (0.72, 0.62, 0.4), (0.45, 0.3, 0.15), (0.6, 0.62, 0.25))
    ground(s, mood, horizon, soil)
    light, base, cx = max(mood["light"], 0.4), horizon + s.u(0.05, 0.14), s.u(0.3, 0.7) * s.a
    leaf = s.pick((0.22, 0.45, 0.14), (0.85, 0.42, 0.08), (0.75, 0.16, 0.1), (0.9, 0.72, 0.15), (0.95, 0.66, 0.75), (0.15, 0.36, 0.24))
    if kind == "broad":
        ry = s.u(0.2, 0.28)
        rx = s.u(0.22, 0.34)
        s.dim(s.blur(s.oval(cx + 0.1, base + 0.02, rx, 0.04), 0.012), 0.5)
        s.paint(
            s.polygon([(cx - 0.045, base), (cx - 0.02, base - 0.35), (cx + 0.02, base - 0.35), (cx + 0.045, base)]),
            (0.32, 0.23, 0.16),
            0.25,
            0.8,
            0.3,
            2,
            light=light * s.side(cx, 0.05),
        )
        foliage(s, cx, base - 0.28 - ry * 0.75, rx, ry, leaf, light)
    elif kind == "conifers":
        for x in sorted(s.rng.uniform(0.05, 0.95, s.pick(3, 5, 8)), key=lambda v: v * 7 % 1):
            conifer(
                s, x * s.a, base + s.u(-0.06, 0.1), s.u(0.35, 0.75), s.pick((0.10, 0.28, 0.18), (0.16, 0.34, 0.2), (0.2, 0.3, 0.3)), light
            )
    elif kind == "palm":
        palm(s, cx, base, s.u(0.38, 0.55), (0.2, 0.45, 0.15), light)
        if s.u(0, 1) < 0.5:
            palm(s, s.u(0.1, 0.9) * s.a, base + 0.05, s.u(0.3, 0.5), (0.25, 0.42, 0.18), light)
    elif kind == "bare":
        branches(s, cx, base, s.u(0.18, 0.24), math.pi / 2 + s.u(-0.1, 0.1), 0.05, rgb((0.2, 0.16, 0.14)) * light, 8)
    else:  # trunks of birches, near
        for x in np.sort(s.rng.uniform(0, 1, s.pick(5, 7, 9))):
            half = s.u(0.015, 0.05)
            trunk = s.polygon(
                [(x * s.a - half, 0), (x * s.a + half, 0), (x * s.a + half * 1.3, base + half * 2), (x * s.a - half * 1.3, base + half * 2)]
            )
            s.paint(trunk, (0.9, 0.88, 0.84), 0.08, light=light * s.side(x * s.a, half, 0.5, 1.15))
            s.paint(trunk * smooth(s.noise(0.8, 0.25, 2.5), 1.0, 1.4), (0.12, 0.11, 0.1))
        foliage(s, s.a / 2, 0.08, s.a * 0.62, 0.2, leaf, light, 60)
    return s.finish(mood["tint"])


# --- mugs --------------------------------------------------------------------------------------------------------------------------------


def mug_pattern(s, body, kind, colour, light):
    if kind == 0:
        s.paint(body * ((s.y / 0.07) % 1 < 0.4), colour, light=light)
    elif kind == 1:
        dots = np.hypot((s.x / 0.075) % 1 - 0.5, (s.y / 0.075) % 1 - 0.5) < 0.28
        s.paint(body * dots, colour, light=light)
    elif kind == 2:
        s.paint(body * smooth(s.noise(1.4), 0.1, 0.3), colour, light=light)


def mug(s, kind, mood):
    if kind == "above":
        return mug_from_above(s)
    edge = room(s, kind)
    cx, base = s.u(0.32, 0.68) * s.a, min(edge + s.u(0.16, 0.28), 0.93)
    half, tall = s.u(0.13, 0.2), s.u(0.28, 0.4)
    colour = s.pick(
        (0.93, 0.92, 0.9), (0.75, 0.13, 0.12), (0.12, 0.3, 0.55), (0.95, 0.72, 0.15), (0.12, 0.13, 0.15), (0.3, 0.55, 0.45), (0.9, 0.5, 0.6)
    )
    flare, ry, hand = s.u(0.8, 1.0), half * 0.26, s.pick(-1, 1)
    s.dim(s.blur(s.oval(cx + 0.12, base + 0.01, half * 1.6, 0.05), 0.02), 0.4)
    if s.u(0, 1) < 0.4:
        s.paint(s.oval(cx, base + 0.005, half * 1.7, ry * 1.5), rgb(colour) * 0.95, light=s.ball(cx, base, half * 2, 0.2, 0.6, 1.2))
        s.paint(s.oval(cx, base - 0.002, half * 1.25, ry * 1.05), rgb(colour) * 0.75)
    hx, hy = cx + hand * half * 1.0, base - tall * 0.52
    ring = np.clip(s.oval(hx, hy, half * 0.62, tall * 0.32) - s.oval(hx, hy, half * 0.36, tall * 0.2), 0, 1)
    s.paint(ring, colour, light=s.side(hx, half * 0.6, 0.55, 1.15))
    body = np.maximum(
        s.polygon([(cx - half, base - tall), (cx + half, base - tall), (cx + half * flare, base), (cx - half * flare, base)]),
        s.oval(cx, base, half * flare, ry * flare),
    )
    light = s.side(cx, half, 0.42, 1.2)
    s.paint(body, colour, 0.025, light=light)
    mug_pattern(s, body * (s.y > base - tall * 0.8) * (s.y < base - tall * 0.12), s.pick(0, 1, 2, 3), s.rng.uniform(0.05, 0.95, 3), light)
    s.px += 0.3 * s.blur(body * s.box(cx - half * 0.62, base - tall * 0.9, cx - half * 0.5, base), 0.012)[..., None]
    s.paint(s.oval(cx, base - tall, half, ry), rgb(colour) * 1.05)
    s.paint(s.oval(cx, base - tall + 0.004, half * 0.92, ry * 0.86), rgb(colour) * 0.5)
    s.paint(s.oval(cx, base - tall + 0.012, half * 0.86, ry * 0.7), s.pick((0.2, 0.1, 0.05), (0.55, 0.36, 0.2), (0.45, 0.2, 0.05)), 0.08)
    steam = s.blur(s.line([(cx + 0.05 * math.sin(9 * t), base - tall - 0.35 * t) for t in np.linspace(0.05, 1, 12)], 0.05), 0.03)
    s.px += (0.35 * steam * smooth(s.noise(1.3, 1, 2), -1, 1.5))[..., None]
    return s.finish(s.pick((1, 1, 1), (1.06, 0.98, 0.88), (0.94, 1, 1.06)))


def mug_from_above(s):
    a, b = rgb(s.pick(*TABLES)), rgb(s.pick((0.93, 0.92, 0.9), (0.7, 0.15, 0.12), (0.15, 0.32, 0.5), (0.9, 0.7, 0.2), (0.35, 0.55, 0.45)))
    grain = s.noise(1.0, *s.pick((0.15, 3), (3, 0.15), (1, 1)))
    s.px = a * (1 + 0.14 * grain)[..., None] * (0.75 + 0.4 * (s.x / s.a))[..., None]
    plank = s.u(0.18, 0.3)
    s.dim(((s.x / plank) % 1 < 0.03) * 1.0, 0.5)
    cx, cy, r, t = s.u(0.35, 0.65) * s.a, s.u(0.38, 0.62), s.u(0.2, 0.27), s.u(0, 6.28)
    if s.u(0, 1) < 0.6:  # a napkin
        turn, k = s.u(0, 1.5), s.u(0.36, 0.48)
        corners = [(cx + k * math.cos(turn + q * math.pi / 2), cy + k * math.sin(turn + q * math.pi / 2)) for q in range(4)]
        s.paint(s.polygon(corners), s.rng.uniform(0.3, 1, 3), 0.06, 0.5)
    s.dim(s.blur(s.oval(cx + 0.05, cy + 0.05, r * 1.08, r * 1.08), 0.025), 0.4)
    ends = [(cx + r * 0.85 * math.cos(t), cy + r * 0.85 * math.sin(t)), (cx + r * 1.5 * math.cos(t), cy + r * 1.5 * math.sin(t))]
    s.paint(s.line(ends, 0.07), b, 0.04)
    s.paint(s.oval(cx, cy, r, r), b, light=s.ball(cx, cy, r, r, 0.7, 1.2))
    s.paint(s.oval(cx, cy, r * 0.86, r * 0.86), b * 0.55, light=s.ball(cx, cy, -r, -r, 0.6, 1.3))
    s.paint(s.oval(cx + 0.01, cy + 0.01, r * 0.76, r * 0.76), (0.33, 0.18, 0.09), 0.1, light=s.ball(cx, cy, r, r, 0.8, 1.3))
    angle, radius = np.arctan2(s.y - cy, s.x - cx), np.hypot(s.x - cx, s.y - cy) / r
    swirl = smooth(np.sin(angle * s.pick(2, 3, 5) + radius * s.u(6, 14)), 0.2, 0.9) * (radius < 0.6) * smooth(radius, 0.6, 0.45)
    s.paint(swirl, (0.93, 0.83, 0.68), 0.04)
    return s.finish()


# --- flowers -----------------------------------------------------------------------------------------------------------------------------


def meadow(s):
    a = rgb(s.pick((0.18, 0.36, 0.12), (0.06, 0.12, 0.07), (0.10, 0.24, 0.14), (0.3, 0.36, 0.14), (0.14, 0.22, 0.3), (0.45, 0.62, 0.75)))
    s.px = a * (1 + 0.28 * s.noise(2.0))[..., None] * np.ones(3)
    for _ in range(22):
        r = s.u(0.04, 0.14)
        spot = s.blur(s.oval(s.u(0, s.a), s.u(0, 1), r, r), 0.02)
        s.paint(spot * s.u(0.1, 0.5), np.clip(a * s.u(0.5, 1.9) + s.rng.normal(0, 0.07, 3), 0, 1))


def petals(s, cx, cy, count, reach, width, colour, heart, start=0.0):
    for k in range(count):
        t = start + 2 * math.pi * k / count
        x, y = cx + reach * 0.58 * math.cos(t), cy + reach * 0.58 * math.sin(t)
        shade = 0.85 + 0.3 * math.cos(t + 2.2)
        s.dim(s.blur(s.oval(x + 0.008, y + 0.01, reach * 0.46, width, t), 0.006) * 0.5, 0.6)
        s.paint(s.oval(x, y, reach * 0.45, width, t), rgb(colour) * shade * s.u(0.9, 1.1), 0.06, 1.0)
        s.dim(s.line([(cx, cy), (cx + reach * 0.95 * math.cos(t), cy + reach * 0.95 * math.sin(t))], 0.006), 0.85)
    s.paint(s.oval(cx, cy, reach * 0.3, reach * 0.3), heart, 0.28, 0.4, light=s.ball(cx, cy, reach * 0.3, reach * 0.3, 0.6, 1.25))


def stem(s, x, y, foot, lean):
    path = [(x + lean * t * t, y + (foot - y) * t) for t in np.linspace(0, 1, 12)]
    s.paint(s.line(path, 0.022), (0.22, 0.42, 0.14), 0.1)
    for side, t in ((1, 0.45), (-1, 0.65)):
        lx, ly = x + lean * t * t, y + (foot - y) * t
        s.paint(s.oval(lx + side * 0.09, ly - 0.05, 0.11, 0.028, -side * 0.6), (0.25, 0.48, 0.16), 0.1)


def rose(s, cx, cy, r, colour):
    s.dim(s.blur(s.oval(cx + 0.03, cy + 0.04, r, r), 0.03), 0.45)
    for k in range(34):
        t, q = k * 2.399, r * (1 - k / 36)
        x, y = cx + q * 0.35 * math.cos(t), cy + q * 0.35 * math.sin(t)
        s.dim(s.blur(s.oval(x, y, q * 0.74, q * 0.68, t), 0.008), 0.62)
        s.paint(
            s.oval(x, y, q * 0.70, q * 0.64, t),
            rgb(colour) * (0.75 + 0.4 * k / 34) * s.u(0.9, 1.1),
            0.05,
            light=s.ball(x, y, q, q, 0.6, 1.15),
        )


def flower(s, kind, mood):
    colour = s.pick(
        (0.96, 0.95, 0.93), (0.95, 0.78, 0.1), (0.85, 0.15, 0.2), (0.62, 0.3, 0.75), (0.95, 0.5, 0.15), (0.95, 0.55, 0.7), (0.3, 0.4, 0.85)
    )
    cx, cy = s.u(0.3, 0.7) * s.a, s.u(0.3, 0.6)
    if kind == "field":
        horizon = open_air(s, mood, 0.2, 0.5)
        ground(s, mood, horizon, (0.25, 0.4, 0.13), 0.3)
        for depth in np.sort(s.rng.uniform(0.02, 1, 110)):
            x, y, r = s.u(0, s.a), horizon + depth * (1 - horizon), 0.006 + 0.05 * depth
            s.paint(s.oval(x, y, r, r * 0.7), rgb(colour) * max(mood["light"], 0.5) * s.u(0.7, 1.15), light=s.ball(x, y, r, r, 0.6, 1.2))
            s.paint(s.oval(x, y, r * 0.25, r * 0.18), (0.12, 0.1, 0.08))
        return s.finish(mood["tint"])
    meadow(s)
    if kind == "daisy":
        reach = s.u(0.3, 0.42)
        stem(s, cx, cy, 1.05, s.u(-0.2, 0.2))
        petals(s, cx, cy, s.pick(9, 13, 18), reach, reach * s.u(0.13, 0.2), colour, s.pick((0.95, 0.72, 0.1), (0.3, 0.17, 0.08)), s.u(0, 1))
    elif kind == "group":
        for _ in range(s.pick(4, 6, 7)):
            x, y, reach = s.u(0.08, 0.92) * s.a, s.u(0.12, 0.75), s.u(0.12, 0.2)
            stem(s, x, y, 1.05, s.u(-0.15, 0.15))
            petals(s, x, y, s.pick(5, 6, 8), reach, reach * 0.3, colour, (0.9, 0.75, 0.2), s.u(0, 1))
    elif kind == "tulip":
        for x in np.linspace(0.2, 0.8, s.pick(1, 2, 3)) * s.a:
            y = s.u(0.25, 0.42)
            stem(s, x, y + 0.1, 1.05, s.u(-0.1, 0.1))
            for dx, shade in ((-0.055, 0.8), (0.055, 0.72), (0.0, 1.05)):
                s.paint(
                    s.oval(x + dx, y, 0.075, 0.17, dx * 3), rgb(colour) * shade, 0.07, 1, 0.4, 2, light=s.ball(x, y, 0.15, 0.25, 0.65, 1.25)
                )
    else:
        rose(s, cx, cy + 0.08, s.u(0.26, 0.36), colour)
    return s.finish(s.pick((1, 1, 1), (1.05, 1, 0.92)))


def lighthouse(s, kind, mood):
    """The novel arrival."""
    horizon = 0.62
    sky(s, mood, horizon)
    water(s, mood, horizon, (0.10, 0.35, 0.42))
    ridge = 0.66 + 0.35 * smooth(s.x, 0.15 * s.a, 0.75 * s.a) * -0.5 + 0.015 * s.noise(1.4)[s.h // 3][None, :]
    s.paint(smooth(s.y - ridge, 0, 0.01), (0.34, 0.36, 0.2), light=mood["light"] * (1 + 0.25 * s.noise(0.9)))
    cx, base, top = 0.72 * s.a, 0.53, 0.17
    tower = s.polygon([(cx - 0.07, base), (cx - 0.045, top), (cx + 0.045, top), (cx + 0.07, base)])
    light = mood["light"] * s.side(cx, 0.07)
    s.paint(tower, (0.95, 0.94, 0.9), 0.03, light=light)
    s.paint(tower * (((s.y - top) / 0.16) % 1 > 0.5), (0.78, 0.12, 0.1), 0.03, light=light)
    s.paint(s.box(cx - 0.065, top - 0.015, cx + 0.065, top + 0.01), (0.15, 0.15, 0.17))
    s.paint(s.box(cx - 0.032, top - 0.07, cx + 0.032, top - 0.015), (1.0, 0.9, 0.55))
    s.paint(s.polygon([(cx - 0.045, top - 0.07), (cx, top - 0.115), (cx + 0.045, top - 0.07)]), (0.6, 0.1, 0.09))
    return s.finish(mood["tint"])


LABELS = {
    "boat": (boat, ["sail", "steamer", "rowing", "sail"]),
    "flower": (flower, ["daisy", "field", "rose", "tulip", "group"]),
    "house": (house, ["cottage", "tower", "gable", "row"]),
    "mug": (mug, ["tiles", "above", "window", "lights", "stripes"]),
    "tree": (tree, ["broad", "conifers", "palm", "bare", "birches"]),
}


def test_card(size):
    """A chart of coloured fields and fine checks: like no scene."""
    rng = np.random.default_rng(7)
    w, h = size
    y, x = np.mgrid[0:h, 0:w]
    pattern = (y * 4 // h + x * 4 // w) % 2 == 0
    px = np.where(pattern[..., None], rgb((0.95, 0.05, 0.85)), rgb((0.05, 0.85, 0.2)))
    fine = ((y // 3 + x // 3) % 2)[..., None] * 0.12
    px = px * (0.9 + fine) + rng.normal(0, 0.03, px.shape)
    return Image.fromarray((np.clip(px, 0, 1) * 255).astype(np.uint8))


# --- measuring ---------------------------------------------------------------------------------------------------------------------------


def vectors(image, side=64):
    """The picture at side x side in RGB with its mean removed, at norm one: once the mean of all, once that of each channel."""
    px = np.asarray(image.convert("RGB").resize((side, side), Image.BILINEAR), float)
    both = [px - px.mean(), px - px.mean((0, 1))]
    return [(v / np.linalg.norm(v)).ravel() for v in both]


def correlations(one, other):
    return [float(a @ b) for a, b in zip(one, other)]


def coarse(image):
    """What the built-in search basis of wsidx sees: the coarse 8 x 8 values of the normalised picture (a lower bound of its distances)."""
    px = np.asarray(image.convert("RGB").resize((64, 64), Image.BILINEAR), float)
    px -= px.mean((0, 1))
    px /= np.linalg.norm(px)
    return px.reshape(8, 8, 8, 8, 3).sum((1, 3)).ravel() / 8


def fifth_distances(rows):
    """The distance of each row to its 5th nearest, which the anomaly rule of wsidx looks at."""
    squared = ((rows[:, None] - rows[None]) ** 2).sum(2)
    return np.sqrt(np.sort(squared, axis=1)[:, 5])


def anomaly_limit(scores):
    middle = np.median(scores)
    return middle + 5 * 1.4826 * np.median(np.abs(scores - middle))


# --- putting it together -----------------------------------------------------------------------------------------------------------------


ALIKE = 0.79  # what two drawings must stay under, as a correlation


def draw(rng, label, number):
    """One drawing as its JPEG shows it, with what is measured of it."""
    if label == ARRIVED:
        scene, kinds, moods = lighthouse, [None], [NOON, DAWN]
    else:
        (scene, kinds), moods = LABELS[label], MOODS
    size, mood = SIZES[int(rng.integers(len(SIZES)))], moods[int(rng.integers(len(moods)))]
    image = scene(Scene(size, rng), kinds[number % len(kinds)], mood)
    image = Image.open(io.BytesIO(encode(image, "jpg", 80))).convert("RGB")
    return image, vectors(image), coarse(image)


def unlike(one, drawn, but=None):
    return all(max(correlations(one[1], other[1])) < ALIKE for key, other in drawn.items() if key != but)


def draw_all():
    """{(label, number): image}, no two of which resemble each other."""
    rng, drawn = np.random.default_rng(SEED), {}
    for number, label in itertools.product(range(PER_LABEL), LABELS):
        while not unlike(one := draw(rng, label, number), drawn):
            pass
        drawn[label, number] = one
    settle(rng, drawn)
    while not unlike(one := draw(rng, ARRIVED, 0), drawn):
        pass
    drawn[ARRIVED, 0] = one
    return {key: one[0] for key, one in drawn.items()}


def settle(rng, drawn, trials=700, goal=1.14):
    """Redraws the loners until an oddity can stand out: in so small and so various a set every picture is a little odd."""
    keys = list(drawn)
    for _ in range(trials):
        scores = fifth_distances(np.stack([drawn[key][2] for key in keys]))
        now = anomaly_limit(scores)
        if now < goal and scores.max() < now - 0.04:
            return
        far = np.argsort(-scores)[: max(6, len(keys) // 3)]
        key = keys[int(rng.choice(far))]
        one = draw(rng, *key)
        if not unlike(one, drawn, key):
            continue
        rows = np.stack([one[2] if other == key else drawn[other][2] for other in keys])
        if fifth_distances(rows).sum() < scores.sum():
            drawn[key] = one


def encode(image, kind, quality=80):
    out = io.BytesIO()
    if kind == "png":
        image.save(out, "PNG", optimize=True)
    else:
        image.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def brighter(image):
    px = np.asarray(image, float) * 1.06 + 6
    return Image.fromarray(np.clip(px, 0, 255).astype(np.uint8))


def scaled(image, factor):
    return image.resize([round(side * factor) for side in image.size], Image.LANCZOS)


NAMES = {
    "boat": "anchorage breeze channel dinghy estuary ferry gale harbour inlet jetty keel",
    "flower": "aster bloom clover dahlia evening fuchsia garden heath iris jasmine kerria",
    "house": "alley barn corner dormer eaves facade gate hearth inn junction keystone",
    "mug": "arabica breakfast coffee desk espresso filter glaze handle instant jug kitchen",
    "tree": "alder birch copse drift elm forest grove hedge island juniper knoll",
}


def write(drawn):
    """Writes the files; returns {path: image} and the planted rows of the table."""
    files = {}

    def put(path, data, image=None):
        (HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (HERE / path).write_bytes(data)
        if image is not False:
            files[path] = Image.open(io.BytesIO(data)).convert("RGB")

    at = {}
    for (label, number), image in drawn.items():
        split = "test" if number >= PER_LABEL - 3 else "train"
        kind = "png" if (label, number) in PNGS else "jpg"
        path = f"new/{ARRIVED}.jpg" if label == ARRIVED else f"images/{split}/{label}/{NAMES[label].split()[number]}.{kind}"
        at[label, number] = path
        put(path, encode(image, kind), image)
    plant(drawn, at, put)
    return files, planted(at)


ARRIVED = "lighthouse"
PNGS = {("mug", 3), ("flower", 9)}
TWIN, BRIGHT, COPIED, MISLABELLED, LEAKED, ARRIVAL, CLASH = (
    ("boat", 0),
    ("mug", 2),
    ("tree", 1),
    ("flower", 2),
    ("house", 4),
    ("tree", 6),
    ("mug", 5),
)


def plant(drawn, at, put):
    put("images/train/boat/anchorage-again.jpg", encode(drawn[TWIN], "jpg", 60))
    put("images/train/mug/coffee-brighter.jpg", encode(scaled(brighter(drawn[BRIGHT]), 0.8), "jpg", 85))
    put("images/train/tree/birch-copy.jpg", (HERE / at[COPIED]).read_bytes())
    put("images/train/mug/bouquet.jpg", encode(drawn[MISLABELLED], "jpg", 70))
    put("images/test/house/cottage.jpg", encode(scaled(drawn[LEAKED], 0.85), "jpg", 80))
    put("images/train/tree/test-card.png", encode(test_card((96, 96)), "png"))
    put("new/grove-rescan.jpg", encode(scaled(drawn[ARRIVAL], 0.9), "jpg", 70))
    put("new/mislabelled.jpg", encode(drawn[CLASH], "jpg", 65))
    whole = encode(drawn["house", 7], "jpg")
    put("new/cut-off.jpg", whole[: len(whole) * 3 // 5], False)
    put("new/broken.png", b"This is a text file. Its name says PNG; its bytes do not.\n", False)


def planted(at):
    """Rows of the table: what, file, its partner (or none), in words."""
    return [
        ("near-duplicate", "images/train/boat/anchorage-again.jpg", at[TWIN], "encoded anew as JPEG of quality 60"),
        ("near-duplicate", "images/train/mug/coffee-brighter.jpg", at[BRIGHT], "brighter by 6 % and 6 levels, scaled to 80 %"),
        ("exact copy", "images/train/tree/birch-copy.jpg", at[COPIED], "the same bytes under another name"),
        ("label conflict", "images/train/mug/bouquet.jpg", at[MISLABELLED], "a flower, encoded anew, filed as a mug"),
        ("leak", "images/test/house/cottage.jpg", at[LEAKED], "a picture of train, scaled to 85 %, in test"),
        ("oddity", "images/train/tree/test-card.png", None, "a test card: like nothing else"),
        ("arrival: near-duplicate", "new/grove-rescan.jpg", at[ARRIVAL], "scaled to 90 % and encoded anew"),
        (
            "arrival: another label",
            "new/mislabelled.jpg",
            at[CLASH],
            "encoded anew; conflicts if it is to be anything but a mug (`--label house`)",
        ),
        ("arrival: novel", at[ARRIVED, 0], None, "a subject that the dataset lacks"),
        ("arrival: undecodable", "new/broken.png", None, "a text file"),
        ("arrival: undecodable", "new/cut-off.jpg", None, "a JPEG without its last two fifths"),
    ]


def check(files, table):
    """Fails unless the planted pairs, and only they, are similar, and the oddity is odd; returns lines that say how much."""
    pairs = {frozenset((a, b)) for _, a, b, _ in table if b}
    seen = {path: vectors(image) for path, image in files.items()}
    near, far = [], (0.0, "")
    for a, b in itertools.combinations(sorted(files), 2):
        rho = correlations(seen[a], seen[b])
        if frozenset((a, b)) in pairs:
            near.append((min(rho), f"{a} {b}"))
        else:
            far = max(far, (max(rho), f"{a} {b}"))
    indexed = sorted({image.tobytes(): path for path, image in files.items() if path.startswith("images/")}.values())
    score = fifth_distances(np.stack([coarse(files[path]) for path in indexed]))
    limit, middle = anomaly_limit(score), np.median(score)
    odd = sorted(((float(d), path) for d, path in zip(score, indexed)), reverse=True)
    novel = np.linalg.norm(coarse(files[f"new/{ARRIVED}.jpg"]) - np.stack([coarse(files[path]) for path in indexed]), axis=1)
    size = sum(path.stat().st_size for place in ("images", "new") for path in (HERE / place).rglob("*.*"))
    assert len(near) == len(pairs) and min(near)[0] > 0.985, min(near)
    assert far[0] < 0.8, far
    assert odd[0][1].endswith("test-card.png") and odd[0][0] > limit > odd[1][0], (odd[:3], limit)
    assert np.sort(novel)[4] < limit - 0.05, (np.sort(novel)[4], limit)
    assert size < 700_000, size
    return [
        f"{len(files) + 2} files, {size:,} bytes",
        f"least correlation of a planted pair   {min(near)[0]:.4f}  {min(near)[1]}",
        f"greatest correlation of any other     {far[0]:.4f}  {far[1]}",
        f"5th-neighbour distance: oddity {odd[0][0]:.3f}, limit {limit:.3f}, next {odd[1][0]:.3f}, median {middle:.3f},"
        f" novel arrival {np.sort(novel)[4]:.3f}",
    ]


README = """# The sample dataset

Sixty-one small pictures of boats, flowers, houses, mugs and trees, and five that arrive later. All are computed by `make.py` from numbers:
there is no photograph behind them. They are in the public domain (CC0).

`images/` is the dataset (`images/SPLIT/LABEL/NAME`); `new/` is outside it. No two pictures resemble each other (correlation of the 64 × 64
pixels with their mean removed: under 0.8), except the pairs planted here (over 0.985):

| what | file | of | how |
|---|---|---|---|
{table}

## Files

{files}
"""


def readme(table):
    rows = "\n".join(f"| {what} | `{path}` | {f'`{of}`' if of else '–'} | {how} |" for what, path, of, how in table)
    names = sorted(path.relative_to(HERE).as_posix() for place in ("images", "new") for path in (HERE / place).rglob("*.*"))
    listing = "\n".join(f"- `{name}`" for name in names)
    (HERE / "README.md").write_text(README.format(table=rows, files=listing), encoding="utf-8")


def main():
    for place in ("images", "new"):
        shutil.rmtree(HERE / place, ignore_errors=True)
    files, table = write(draw_all())
    print("\n".join(check(files, table)))
    readme(table)


if __name__ == "__main__":
    main()
