#!/usr/bin/env python3
"""Generated data for benches/whole, the same bytes every time: data.py OUT [--scale S].

photos/  20,000 files of incompressible bytes, log-normal around 60 KB, in 100 folders
labels/  200,000 JSON files of 1 to 4 KB, in 1,000 folders
"""
import argparse
import json
import math
import os
import random


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def photos(out, count):
    for number in range(count):
        rng = random.Random(f"photo {number}")
        size = max(200, int(60_000 * math.exp(rng.gauss(0, 0.6))))
        write(f"{out}/photos/{number % 100:03}/{number:06}.raw", rng.randbytes(size))


def labels(out, count):
    kinds = ["car", "truck", "bus", "rider", "train", "sign", "lane", "pole"]
    for number in range(count):
        rng = random.Random(f"label {number}")
        boxes = [
            {"kind": rng.choice(kinds), "box": [round(rng.uniform(0, 2000), 2) for _ in range(4)],
             "seen": round(rng.random(), 4), "track": f"{rng.getrandbits(64):016x}"}
            for _ in range(rng.randint(8, 30))
        ]
        text = json.dumps({"image": f"{number:06}.raw", "night": rng.random() < 0.3, "boxes": boxes})
        write(f"{out}/labels/{number % 1000:04}/{number:07}.json", text.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    photos(args.out, max(10, int(20_000 * args.scale)))
    labels(args.out, max(100, int(200_000 * args.scale)))
