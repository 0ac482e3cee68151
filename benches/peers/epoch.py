#!/usr/bin/env python3
"""A round of FLoRA beside one of full fine-tuning (FedFFT), both by flora: the same program, images, clients, batches and threads.

    epoch.py                        # CLIP ViT-B/32 with random weights; Fashion-MNIST, and the same images in 100 classes

FLoRA runs the preset `paper` on the fast path with its image features from a cache; filling it is timed apart, and counted in over the
preset's 50 rounds. FedFFT trains both towers of the same preset, on the fast path, too: each distinct prompt once, no padding. What is
exact for one is exact for the other. A round takes as long as the slower client says, in `metrics.jsonl`; counted is the median of all
rounds but the first, which touches its memory for the first time. FedFFT reads and resizes its images in that time, as it must: what it
trains sees them. Memory is the peak of each process.

The 100 classes are the images of Fashion-MNIST in a hundred folders: it is the number of prompts that counts. Two cores: about 10
minutes, 15 GB of memory: two clients train at a time, each all of its own model in FedFFT.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path

from peers import arguments  # first: it sets the environment

from PIL import Image
from recipe import BATCH, DATA, ROUNDS, Fast, read_idx, write_checkpoint

# Of 6,000 training images, less those of the test.
MOST = 5_900
# The words of the classes are as long as those of common label sets.
WORDS = ["red", "old", "small", "round", "wooden", "heavy", "open", "dark", "plain", "soft"]
THINGS = ["shirt", "boot", "coat", "bag", "dress", "chair", "lamp", "clock", "kettle", "bicycle"]


def write_folders(folder, count):
    """The first images of Fashion-MNIST as an image folder of 100 classes."""
    names = [f"{word} {thing}" for word in WORDS for thing in THINGS]
    images = read_idx("train-images-idx3-ubyte.gz")
    for split, start, size in (("train", 0, count), ("test", count, len(names))):
        for number in range(size):
            path = folder / split / names[number % len(names)] / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[start + number]).save(path)


def seconds_of_a_round(out):
    rounds = {}
    with (out / "metrics.jsonl").open(encoding="utf-8") as file:
        for event in map(json.loads, file):
            if event["event"] == "client_replied":
                rounds[event["round"]] = max(event["seconds"], rounds.get(event["round"], 0))
    return statistics.median(rounds[number] for number in sorted(rounds)[1:])


def compare(fast, label, data, full_images):
    first, _ = fast.run(f"{label}-first", 0, data=data)
    caching = first["seconds"]["data"]
    print(f"{label:<12} caching {caching:7.1f} s, {first['peak_memory_bytes'] / 1e9:.2f} GB", flush=True)
    run, clients = fast.run(f"{label}-flora", fast.options.rounds, data=data)
    images = sum(clients)
    low = seconds_of_a_round(fast.scratch / f"{label}-flora") / images
    print(f"{label:<12} FLoRA   {1000 * low:7.3f} ms an image, {run['peak_memory_bytes'] / 1e9:.2f} GB ({images} images a round)", flush=True)
    full_run, full_clients = fast.run(f"{label}-fedfft", 2, data=data, train=full_images, **{"method.name": '"fedfft"'})
    full = seconds_of_a_round(fast.scratch / f"{label}-fedfft") / sum(full_clients)
    memory = full_run["peak_memory_bytes"] / run["peak_memory_bytes"]
    print(f"{label:<12} FedFFT  {1000 * full:7.1f} ms an image, {full_run['peak_memory_bytes'] / 1e9:.2f} GB ({sum(full_clients)} images)")
    total = ROUNDS * images * full / (ROUNDS * images * low + caching)
    print(f"{label:<12} FLoRA is {full / low:.0f} times as fast in a round, {total:.1f} times over {ROUNDS} rounds with the caching; FedFFT takes {memory:.1f} times the memory", flush=True)


def main():
    options = arguments(
        __doc__.partition("\n\n")[0],
        images={"type": int, "default": 1280, "help": "of a round of FLoRA, all clients together (default: %(default)s)"},
        **{"full-images": {"type": int, "default": 512, "help": "of the round of FedFFT (default: %(default)s)"}},
        clients={"type": int, "default": 2, "help": "among which they are split at random (default: %(default)s)"},
        threads={"type": int, "default": os.cpu_count(), "help": "(default: %(default)s)"},
        rounds={"type": int, "default": 5, "help": "of FLoRA (default: %(default)s)"},
        scratch={"type": Path, "help": "where the checkpoint and the cache lie while they are needed (default: a temporary folder)"},
    )
    with tempfile.TemporaryDirectory(prefix="flora-epoch-", dir=options.scratch) as temporary:
        scratch = Path(temporary)
        if not options.full_images <= options.images <= MOST:
            raise SystemExit(f"--full-images is at most --images, and that at most {MOST}")
        write_checkpoint(scratch / "model")
        write_folders(scratch / "folders", options.images)
        fast = Fast(options, scratch, partition=f'{{kind="iid",clients={options.clients}}}')
        print(f"batches of {BATCH}, {options.clients} clients, {options.threads} threads")
        compare(fast, "10 classes", DATA / "fashion-mnist-6k.toml", options.full_images)
        compare(fast, "100 classes", scratch / "folders", options.full_images)


if __name__ == "__main__":
    main()
