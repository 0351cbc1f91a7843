"""The workloads, the same bytes every time: four folders, and each of them once more after an edit.

photos   20,000 files of noise, log-normal around 60 KB, in 100 folders; edited: 1% changed, 1% removed, 2% added
labels   200,000 JSON files of 1 to 4 KB, in 1,000 folders; edited: 1% changed
shard    one file of 2 GB, every second MiB noise, the others smooth; edited: 100 times 1 KB overwritten, 1 MB inserted at 30%
table    one CSV file of 500 MB; edited: 1,000 rows changed, 5% of rows appended

An edited folder has what did not change as hard links, so that times and sizes tell a tool of nothing new.
"""
import array
import json
import math
import os
import random
import shutil

WORKLOADS = ["photos", "labels", "shard", "table"]
MEBIBYTE = 1 << 20


def make(name, folder, scale):
    """Makes the workload in `folder/NAME` and `folder/NAME.edited`; what is there already is kept."""
    first, edited = f"{folder}/{name}", f"{folder}/{name}.edited"
    if os.path.exists(f"{folder}/{name}.done"):
        return first, edited
    for old in (first, edited):
        shutil.rmtree(old, ignore_errors=True)
    globals()[name](first, edited, scale)
    open(f"{folder}/{name}.done", "w").close()
    return first, edited


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(data)


def link_all(first, edited):
    shutil.copytree(first, edited, copy_function=os.link)


def photos(first, edited, scale):
    def photo(out, number, state):
        rng = random.Random(f"photo {number} {state}")
        size = max(200, int(60_000 * math.exp(rng.gauss(0, 0.6))))
        write(f"{out}/{number % 100:03}/{number:06}.raw", rng.randbytes(size))

    count = max(100, int(20_000 * scale))
    for number in range(count):
        photo(first, number, 0)
    link_all(first, edited)
    picked = random.Random("photos edited").sample(range(count), count // 50)
    for number in picked[: count // 100]:
        photo(edited, number, 1)
    for number in picked[count // 100:]:
        os.unlink(f"{edited}/{number % 100:03}/{number:06}.raw")
    for number in range(count, count + count // 50):
        photo(edited, number, 0)


def labels(first, edited, scale):
    kinds = ["car", "truck", "bus", "rider", "train", "sign", "lane", "pole"]

    def label(out, number, state):
        rng = random.Random(f"label {number} {state}")
        boxes = [
            {"kind": rng.choice(kinds), "box": [round(rng.uniform(0, 2000), 2) for _ in range(4)],
             "seen": round(rng.random(), 4), "track": f"{rng.getrandbits(64):016x}"}
            for _ in range(rng.randint(8, 30))
        ]
        text = json.dumps({"image": f"{number:06}.raw", "night": rng.random() < 0.3, "boxes": boxes})
        write(f"{out}/{number % 1000:04}/{number:07}.json", text.encode())

    count = max(1000, int(200_000 * scale))
    for number in range(count):
        label(first, number, 0)
    link_all(first, edited)
    for number in random.Random("labels edited").sample(range(count), count // 100):
        label(edited, number, 1)


def shard(first, edited, scale):
    rng, size = random.Random("shard"), int(2_000_000_000 * scale)
    os.makedirs(first)
    with open(f"{first}/shard.bin", "wb") as file:
        for block in range(-(-size // MEBIBYTE)):
            if block % 2 == 0:
                data = rng.randbytes(MEBIBYTE)
            else:
                wave = array.array("f")
                for step in range(MEBIBYTE // 256):
                    wave.extend([math.sin((block * 4096 + step) / 1000)] * 64)
                data = wave.tobytes()
            file.write(data[: min(MEBIBYTE, size - block * MEBIBYTE)])

    os.makedirs(edited)
    cut, rng = size * 3 // 10, random.Random("shard edited")
    with open(f"{first}/shard.bin", "rb") as source, open(f"{edited}/shard.bin", "wb") as file:
        remaining = cut
        while remaining:
            remaining -= file.write(source.read(min(remaining, MEBIBYTE)))
        file.write(rng.randbytes(int(1_000_000 * min(1, scale * 10))))
        shutil.copyfileobj(source, file, MEBIBYTE)
        for _ in range(100):
            file.seek(rng.randrange(size - 1024))
            file.write(rng.randbytes(1024))


def table(first, edited, scale):
    rng, size = random.Random("table"), int(500_000_000 * scale)

    def row(number):
        numbers = ",".join(f"{rng.uniform(0, 1000):.3f}" for _ in range(8))
        return f"{number},{rng.choice(['day', 'night', 'dusk'])},cam{rng.randrange(12)},{numbers}\n"

    os.makedirs(first)
    starts, written = array.array("q"), 0
    with open(f"{first}/table.csv", "w") as file:
        while written < size:
            starts.append(written)
            written += file.write(row(len(starts)))
    os.makedirs(edited)
    changed = set(rng.sample(range(len(starts)), min(1000, len(starts) // 10)))
    with open(f"{first}/table.csv") as source, open(f"{edited}/table.csv", "w") as file:
        for number, line in enumerate(source):
            file.write(row(number) if number in changed else line)
        for number in range(len(starts), len(starts) * 105 // 100):
            file.write(row(number))
