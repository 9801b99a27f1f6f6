"""The figures of `wsidx watch`: latency, throughput, a large move, and kills.

    python3 benches/watch.py DATA [--wsidx target/release/wsidx] [--work FOLDER] [latency] [png] [natural] [photos] [move] [kills]

DATA holds `cifar10/{train,test}/<class>/*.png` (60,000 files) and `photos/*.JPEG`. All work is in a new folder below --work (by default the
system's folder for temporary files), which must be on a disk and not in memory, since syncs are a part of what is measured. Run it on a machine
that does nothing else. Without a name all parts run, about fifteen minutes on two cores.

Most parts begin with an index of the 60,000 images, made once and copied. New contents are images of the dataset with a few bytes behind their
end, so that half of the verdicts are near-duplicates with all their evidence: the dear case; the others are noise of 32 x 32 pixels. `natural`
drops the test images over training images instead.
"""

import argparse
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path


class Watch:
    def __init__(self, program, root, *arguments, since=None):
        command = [program, "watch", *arguments] + (["--since", str(since)] if since is not None else [])
        self.process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.texts, self.bell = [], threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        # Who measures takes as little of the processor as can be: lines are read as JSON by those who ask.
        for line in self.process.stdout:
            at = time.perf_counter()
            with self.bell:
                self.texts.append((at, line))
                self.bell.notify_all()

    def line(self, number):
        at, text = self.texts[number]
        try:
            return at, json.loads(text)
        except ValueError:
            return at, {"type": "cut"}  # by a kill

    @property
    def lines(self):
        return [self.line(number) for number in range(len(self.texts))]

    def until(self, wanted, patience=600):
        end, looked = time.perf_counter() + patience, 0
        with self.bell:
            while True:
                while looked < len(self.texts):
                    at, line = self.line(looked)
                    looked += 1
                    if wanted(line):
                        return at, line
                if not self.bell.wait(end - time.perf_counter()):
                    raise TimeoutError("a line never came")

    def count(self, number, patience=3600):
        end, looked, told = time.perf_counter() + patience, 0, 0
        with self.bell:
            while True:
                told += sum(b'"seq":' in text[:40] for _, text in self.texts[looked:])
                looked = len(self.texts)
                if told >= number:
                    break
                if not self.bell.wait(end - time.perf_counter()):
                    raise TimeoutError("lines never came")
            return self.texts[-1][0]

    def memory(self, name="VmHWM"):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name))) // 1000

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait() == 0


def noise(seed):
    """A PNG of 32 x 32 random blocks."""
    rng = random.Random(seed)
    blocks = [[bytes(rng.randrange(256) for _ in range(3)) for _ in range(8)] for _ in range(8)]
    rows = b"".join(b"\0" + b"".join(blocks[y // 4][x // 4] for x in range(32)) for y in range(32))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Bench:
    def __init__(self, data, program, work):
        self.data, self.program, self.work = data, program, work
        self.images = sorted((data / "cifar10").rglob("*.png"))
        self.roots = 0

    def contents(self, count, seed):
        """`count` new files of 32 x 32."""
        rng = random.Random(seed)
        for i in range(count):
            yield rng.choice(self.images).read_bytes() + b"%d.%d" % (seed, i) if i % 2 == 0 else noise(seed * 1_000_000 + i)

    def index(self, root):
        """Makes an index of a folder, and a folder `in` in it."""
        subprocess.run([self.program, "sync", "--init", "--quiet"], cwd=root, check=True, stderr=subprocess.DEVNULL)
        (root / "in").mkdir()

    def dataset(self):
        """A dataset of the 60,000 images, with an empty folder `in`."""
        base = self.work / "base"
        if not base.exists():
            shutil.copytree(self.data / "cifar10", base, ignore=shutil.ignore_patterns(".wsidx"))
            self.index(base)
        # Nothing is deleted before the end: for minutes ext4 looks at the inode of every file that was, before it makes another, which takes a
        # core of whoever drops files.
        self.roots += 1
        root = self.work / f"root-{self.roots}"
        subprocess.run(["cp", "-a", base, root], check=True)
        os.sync()
        return root

    def ready(self, root, *arguments):
        watch = Watch(self.program, root, *arguments)
        watch.until(lambda line: line["type"] == "ready")
        return watch

    def latency(self, count=500):
        root = self.dataset()
        watch = self.ready(root, "in")
        seconds = []
        for i, content in enumerate(self.contents(count, 1)):
            path = root / "in" / f"{i}.png"
            with open(path, "wb") as file:
                file.write(content)
                file.flush()
                closed = time.perf_counter()
            at, _ = watch.until(lambda line: line.get("path") == f"in/{i}.png")
            seconds.append(at - closed)
            time.sleep(0.03)
        seconds = sorted(s * 1e3 for s in seconds[5:])
        at = lambda share: seconds[min(len(seconds) - 1, int(share * len(seconds)))]
        print(f"latency over {len(self.images):,} images, ms: p50 {at(.5):.1f}, p90 {at(.9):.1f}, p99 {at(.99):.1f}, most {seconds[-1]:.1f}; {watch.memory()} MB")
        watch.stop()

    def natural(self):
        """The 10,000 test images, over the training images and over 10,000 of them."""
        test = [image.read_bytes() for image in self.images if "test" in image.parts]
        train = [image for image in self.images if "train" in image.parts]
        random.Random(6).shuffle(test)
        for some in [random.Random(7).sample(train, 10_000), train]:
            root = self.work / f"natural-{len(some)}"
            for image in some:
                to = root / image.relative_to(self.data / "cifar10")
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(image, to)
            self.index(root)
            print(f"over {len(some):,} images: ", end="")
            self.stream("png", test, root=root)

    def stream(self, name, files, *arguments, root=None):
        root = root or self.dataset()
        watch = self.ready(root, "in", *arguments)
        began = time.perf_counter()
        for i, content in enumerate(files):
            (root / "in" / f"{i}.{name}").write_bytes(content)
        written = time.perf_counter() - began
        seconds = watch.count(i + 1) - began
        print(f"{i + 1} {name} dropped in {written:.1f} s: all judged after {seconds:.1f} s, {(i + 1) / seconds:.0f}/s; {watch.memory()} MB")
        watch.stop()

    def png(self):
        self.stream("png", list(self.contents(10_000, 2)))

    def photos(self):
        photos = sorted((self.data / "photos").iterdir())
        root = self.work / "photos"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for number in range(4):
            for photo in photos:
                (root / f"{number}-{photo.name}").write_bytes(photo.read_bytes() + b"%d" % number)
        self.index(root)
        watch = self.ready(root, "in")
        count, began = 0, time.perf_counter()
        for number in range(4, 12):
            for photo in photos:
                (root / "in" / f"{number}-{photo.name}").write_bytes(photo.read_bytes() + b"%d" % number)
                count += 1
        seconds = watch.count(count) - began
        print(f"{count} photographs dropped: {count / seconds:.0f}/s; {watch.memory()} MB")
        watch.stop()

    def move(self, count=100_000):
        root = self.dataset()
        away = self.work / "away"
        shutil.rmtree(away, ignore_errors=True)
        for i, content in enumerate(self.contents(count, 3)):
            folder = away / str(i // 1_000)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i}.png").write_bytes(content)
        watch = self.ready(root, "in")
        before = watch.memory("VmRSS")
        began = time.perf_counter()
        away.rename(root / "in" / "away")
        seconds = watch.count(count) - began
        print(f"{count:,} files moved in at once: all judged after {seconds:.0f} s, {count / seconds:.0f}/s; {before} MB before, {watch.memory()} MB at the most")
        watch.stop()

    def kills(self, count=10_000, every=3.0):
        root = self.work / "kills"
        shutil.rmtree(root, ignore_errors=True)
        (root / "in").mkdir(parents=True)
        subprocess.run([self.program, "init", "--size", "32", "--quiet"], cwd=root, check=True)
        contents = list(self.contents(count, 4))

        def arrive():
            for i, content in enumerate(contents):
                hidden = root / "in" / f".{i}"
                hidden.write_bytes(content)
                hidden.rename(root / "in" / f"{i}.png")
                time.sleep(0.004)

        writer = threading.Thread(target=arrive)
        writer.start()
        told, kills, rng = {}, 0, random.Random(5)

        def gather(watch):
            for _, line in watch.lines:
                if "seq" in line:
                    assert told.setdefault(line["seq"], line) == line, "one number, two lines"

        while True:
            watch = Watch(self.program, root, "in", "--settle", "0.2", since=max(told, default=0))
            if not writer.is_alive():
                break
            time.sleep(rng.uniform(0.3, 2 * every))
            watch.process.kill()
            watch.process.wait()
            time.sleep(0.2)
            gather(watch)
            kills += 1
        while True:
            before = len(watch.texts)
            time.sleep(3)
            if len(watch.texts) == before and sum("seq" in line for _, line in watch.lines) + len(told) >= count:
                break
        watch.stop()
        time.sleep(0.2)
        gather(watch)
        paths = [line["path"] for line in told.values()]
        assert sorted(told) == list(range(1, count + 1)), "numbers have no gap"
        assert len(set(paths)) == len(paths) == count and all(line["type"] == "verdict" for line in told.values())
        print(f"{count:,} files, {kills} kills: each has one line, none lost, none twice")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--wsidx", default="target/release/wsidx")
    parser.add_argument("--work", type=Path)
    args = parser.parse_intermixed_args()
    work = Path(tempfile.mkdtemp(prefix="wsidx-watch-", dir=args.work))
    try:
        bench = Bench(args.data.resolve(), str(Path(args.wsidx).resolve()), work)
        for part in args.parts or ["latency", "png", "natural", "photos", "move", "kills"]:
            getattr(bench, part)()
            sys.stdout.flush()
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
