#!/usr/bin/env python3
"""Makes the four files beside this script from the whole of Fashion-MNIST (Debian: dataset-fashion-mnist).

Of each class the first 600 training and the first 200 test images are taken, in the order of the files. The files are shuffled
(README.md has the evidence), so their beginning is as fair a sample as any; and unlike a seeded choice it needs no random
generator to repeat. Nothing but the standard library is used.
"""

import argparse
import gzip
import hashlib
import io
import math
import sys
from pathlib import Path

CLASSES, SIDE = 10, 28
# Images of each class.
PARTS = {"train": 600, "t10k": 200}
# SHA-256 of the unpacked files. Those of the packed ones depend on the version of zlib.
CONTENTS = {
    "train-images-idx3-ubyte.gz": "cf313073c7eb485392848071d5c433571d7166043e971e3345b095cc30518084",
    "train-labels-idx1-ubyte.gz": "097b93fbcf9bd5bc648b1a457ddc55c9e4ab49afb33f9ecae8ce068399a75e3a",
    "t10k-images-idx3-ubyte.gz": "15a92dd1e9b16ea361928086e77df4dfa890c255c00b5a8c8162c1040ce8eef1",
    "t10k-labels-idx1-ubyte.gz": "234596aeb6eb48133ec99a62541f90bc0728c9559a681f1e0638037462458f2c",
}


def read_idx(path, dimensions):
    """The items of an IDX file of unsigned bytes, each as bytes."""
    try:
        data = gzip.decompress(path.read_bytes())
    except OSError as error:
        sys.exit(f"{path}: {error}; `apt-get install dataset-fashion-mnist` brings the files, --source names their folder")
    head = 8 + 4 * len(dimensions)
    if data[:4] != bytes([0, 0, 8, 1 + len(dimensions)]):
        sys.exit(f"{path}: not an IDX file of unsigned bytes in {1 + len(dimensions)} dimensions")
    count, *sizes = (int.from_bytes(data[at : at + 4], "big") for at in range(4, head, 4))
    item = math.prod(sizes)
    if tuple(sizes) != dimensions or len(data) != head + count * item:
        sys.exit(f"{path}: {len(data)} bytes for {count} items of {sizes}; expected items of {list(dimensions)}")
    return [data[at : at + item] for at in range(head, len(data), item)]


def idx(items, dimensions):
    """The bytes of an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in (len(items), *dimensions))
    return bytes([0, 0, 8, 1 + len(dimensions)]) + sizes + b"".join(items)


def pack(contents):
    """Gzipped with neither time nor name inside: the same contents give the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(contents)
    return packed.getvalue()


def first_of_each_class(labels, count):
    """Places of the first `count` items of each class, in their order."""
    taken, places = [0] * CLASSES, []
    for place, label in enumerate(labels):
        if taken[label[0]] < count:
            taken[label[0]] += 1
            places.append(place)
    if min(taken) < count:
        sys.exit(f"images of each class: {taken}, fewer than {count}")
    return places


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"), help="the whole set (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="where the files go (default: beside this script)")
    chosen = parser.parse_args()

    chosen.out.mkdir(parents=True, exist_ok=True)
    for part, count in PARTS.items():
        files = {f"{part}-images-idx3-ubyte.gz": (SIDE, SIDE), f"{part}-labels-idx1-ubyte.gz": ()}
        (images, labels) = (read_idx(chosen.source / name, dimensions) for name, dimensions in files.items())
        if len(images) != len(labels):
            sys.exit(f"{chosen.source}: {len(images)} images and {len(labels)} labels of {part}")
        places = first_of_each_class(labels, count)
        for (name, dimensions), items in zip(files.items(), (images, labels)):
            contents = idx([items[place] for place in places], dimensions)
            if hashlib.sha256(contents).hexdigest() != CONTENTS[name]:
                sys.exit(f"{name} would not hold what it should: is {chosen.source} Fashion-MNIST, with its items in their order?")
            packed = pack(contents)
            (chosen.out / name).write_bytes(packed)
            print(f"{hashlib.sha256(packed).hexdigest()}  {name}  {len(packed):,} bytes, {len(places):,} items")


if __name__ == "__main__":
    main()
