#!/usr/bin/env python3
"""A second set of copies, to judge on what nothing was tuned to: other photographs, other strengths, two changes at once. Seeded.

In a folder that holds photos/ and the first set's copies.csv, makes held_out/<transform>/ and held_out/copies.csv (columns copy, source,
transform; paths relative to held_out/, where photos is a link to the photos). Sources are photographs that the first set did not use.
Needs Pillow and numpy. Every copy is shrunk to 110,000 pixels first and saved as JPEG of quality 75 unless it says otherwise."""
import csv, os, random, zlib
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

N, SEED, MAXPX = 80, 20270315, 110000

def crop(im, fx, fy, ax, ay):
    w, h = im.size
    nw, nh = round(w * fx), round(h * fy)
    x, y = round((w - nw) * ax), round((h - nh) * ay)
    return im.crop((x, y, x + nw, y + nh))

def resize(im, fx, fy):
    return im.resize((max(1, round(im.width * fx)), max(1, round(im.height * fy))), Image.LANCZOS)

def gamma(im, g):
    return im.point([round(255 * (v / 255) ** g) for v in range(256)] * 3)

def border(im, left, top, right, bottom, colour):
    w, h = im.size
    l, t, r, b = round(w * left), round(h * top), round(w * right), round(h * bottom)
    o = Image.new('RGB', (w + l + r, h + t + b), colour)
    o.paste(im, (l, t))
    return o

def turn(im, degrees, fill):
    return im.rotate(degrees, Image.BICUBIC, fillcolor=fill)

def text(im, rng, share, top):
    im = im.copy()
    d, (w, h) = ImageDraw.Draw(im), im.size
    bar = max(12, round(h * share))
    y = 0 if top else h - bar
    d.rectangle((0, y, w, y + bar), fill=rng.choice(['white', (20, 20, 20), (200, 180, 0)]))
    line = rng.choice(['look at this', 'summer sale ends today', 'me when the build is green', '(c) 2024 A. Nobody'])
    d.text((bar * .4, y + bar * .1), line, fill=(90, 90, 90), font=ImageFont.load_default(size=max(8, bar * .65)))
    return im

def sticker(im, rng, share):
    im = im.copy()
    d, (w, h) = ImageDraw.Draw(im), im.size
    r = round((w * h * share / np.pi) ** .5)
    x, y = rng.randrange(r, w - r), rng.randrange(r, h - r)
    d.ellipse((x - r, y - r, x + r, y + r), fill=rng.choice(['yellow', 'white', (30, 120, 220)]))
    d.text((x - r * .5, y - r * .3), 'NEW', fill='black', font=ImageFont.load_default(size=max(8, r * .5)))
    return im

def noise(im, rng, sigma):
    g = np.random.default_rng(rng.getrandbits(32)).normal(0, sigma, (im.height, im.width, 3))
    return Image.fromarray(np.clip(np.asarray(im, np.float32) + g, 0, 255).round().astype(np.uint8))

def any_crop(im, r, f):
    return crop(im, f, f, r.random(), r.random())

T = {
    'crop_75_anywhere': lambda i, r: any_crop(i, r, .75),
    'crop_65_anywhere': lambda i, r: any_crop(i, r, .65),
    'crop_one_side_80': lambda i, r: crop(i, *r.choice([(.8, 1.), (1., .8)]), r.choice([0, 1]), r.choice([0, 1])),
    'rotate_3': lambda i, r: turn(i, r.choice([-3, 3]), 'white'),
    'rotate_7': lambda i, r: turn(i, r.choice([-7, 7]), 'black'),
    'border_15_grey': lambda i, r: border(i, .15, .15, .15, .15, (128, 128, 128)),
    'border_uneven': lambda i, r: border(i, .02, .12, .08, .03, (240, 235, 220)),
    'pillarbox_20': lambda i, r: border(i, .2, 0, .2, 0, 'black'),
    'aspect_wide30': lambda i, r: resize(i, 1.3, 1.),
    'text_top_15': lambda i, r: text(i, r, .15, True),
    'text_bottom_20': lambda i, r: text(i, r, .20, False),
    'sticker_8': lambda i, r: sticker(i, r, .08),
    'sticker_15': lambda i, r: sticker(i, r, .15),
    'blur_4': lambda i, r: i.filter(ImageFilter.GaussianBlur(4)),
    'noise_25': lambda i, r: noise(i, r, 25),
    'gamma_200': lambda i, r: gamma(i, 2.),
    'contrast_m50': lambda i, r: ImageEnhance.Contrast(i).enhance(.5),
    'posterise_3': lambda i, r: ImageOps.posterize(i, 3),
    'equalise': lambda i, r: ImageOps.equalize(i),
    'tint': lambda i, r: Image.fromarray((np.asarray(i) * np.array([1., .85, .65])).astype(np.uint8)),
    'hflip+crop_85': lambda i, r: any_crop(ImageOps.mirror(i), r, .85),
    'hflip+border_8': lambda i, r: border(ImageOps.mirror(i), .08, .08, .08, .08, 'white'),
    'crop_85+gamma_140': lambda i, r: gamma(any_crop(i, r, .85), 1.4),
    'crop_80+greyscale': lambda i, r: any_crop(i, r, .8).convert('L'),
    'crop_90+text_12': lambda i, r: text(any_crop(i, r, .9), r, .12, False),
    'rotate_4+crop_85': lambda i, r: crop(turn(i, r.choice([-4, 4]), 'black'), .85, .85, .5, .5),
    'rot90+greyscale': lambda i, r: i.transpose(Image.ROTATE_90).convert('L'),
    'rot270+crop_90': lambda i, r: any_crop(i.transpose(Image.ROTATE_270), r, .9),
    'letterbox_12+sticker_6': lambda i, r: border(sticker(i, r, .06), 0, .12, 0, .12, 'black'),
    'border_6+bright_m30': lambda i, r: border(ImageEnhance.Brightness(i).enhance(.7), .06, .06, .06, .06, 'white'),
}

def main():
    used = {row['source'].split('/')[1] for row in csv.DictReader(open('copies.csv'))}
    ok = []
    for f in sorted(os.listdir('photos')):
        im = Image.open(f'photos/{f}')
        if f not in used and im.mode == 'RGB' and im.getexif().get(274) in (None, 0, 1):
            ok.append(f)
    chosen, rows = sorted(random.Random(SEED).sample(ok, N)), []
    os.makedirs('held_out', exist_ok=True)
    if not os.path.islink('held_out/photos'):
        os.symlink('../photos', 'held_out/photos')
    for t in T:
        os.makedirs(f'held_out/{t}', exist_ok=True)
    for f in chosen:
        im = Image.open(f'photos/{f}').convert('RGB')
        im = Image.frombytes('RGB', im.size, im.tobytes())
        if im.width * im.height > MAXPX:
            scale = (MAXPX / (im.width * im.height)) ** .5
            im = resize(im, scale, scale)
        for t, change in T.items():
            p = f'{t}/{os.path.splitext(f)[0]}.jpg'
            change(im, random.Random(zlib.crc32(f'{SEED}/{t}/{f}'.encode()))).save(f'held_out/{p}', quality=75)
            rows.append((p, f'photos/{f}', t))
    rows.sort(key=lambda r: (list(T).index(r[2]), r[1]))
    with open('held_out/copies.csv', 'w', newline='') as g:
        w = csv.writer(g, lineterminator='\n')
        w.writerow(['copy', 'source', 'transform'])
        w.writerows(rows)
    print(len(ok), 'eligible', len(chosen), 'sources', len(T), 'transforms', len(rows), 'copies')

main()
