#!/usr/bin/env python3
"""A round of the FLoRA paper's experiment: its recipe in PyTorch, beside flora's exact fast path.

    recipe.py                       # the first 6,000 + 2,000 images of Fashion-MNIST, of which 2,560 are trained on

Both compute the same losses and gradients: CLIP ViT-B/32 (here with random weights), adapters of rank 2 on the output projections
of the text tower's attention, the contrastive loss of batches of 128, Adam with coupled L2 (arXiv 2404.15182).

- The recipe sends every image through the vision tower and every prompt, padded to 77 tokens, through the text tower, at every
  step. It is written from its description: plain `transformers`, the threads that flora has. Reading and resizing the images is not
  counted. A few steps are timed and scaled to the images of a round, as if all of its batches were whole: the smaller ones at the end
  of a client's images make the recipe's round a little longer.
- flora runs its preset `paper` with `method.implementation = "fast"`, for a few rounds: ten clients, Dirichlet 0.1. The seconds are those of
  training in `run.json`. The image features come from a cache, which a run before that fills; what this took is printed, too, and
  counted in over the preset's 50 rounds. The clients' own models are not tested after training, which the recipe does not do either.

Each side runs in processes of its own. ViT-B/32 on two cores: about 6 minutes, 8 GB of memory.
"""

import gzip
import json
import os
import statistics
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from peers import ROOT, Flora, arguments  # first: it sets the environment

import numpy as np
import torch
from apart import measure
from clips import ADAM, adapt_texts, contrastive, image_features, random_clip, text_features, trained_by
from makers.vocabulary import read_merges, write_tokenizer
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SHAPE = "vit-b-32"
DATA = ROOT / "datasets/fashion-mnist-6k"
# The preset's.
BATCH, ROUNDS = 128, 50
# flora tests the model after every round; few images, as testing is not what is measured.
TEST_IMAGES = 100


@dataclass(frozen=True)
class Job:
    """What the process of the recipe is to do."""

    checkpoint: Path
    warmup: int
    steps: int


def write_checkpoint(folder):
    """Random weights, CLIP's tokenizer and its preprocessing, in Hugging Face's layout."""
    random_clip(SHAPE).save_pretrained(folder)
    write_tokenizer(folder, *read_merges())
    CLIPImageProcessorPil().save_pretrained(folder)


def read_idx(name):
    """The bytes of an IDX file of Fashion-MNIST, an item a row."""
    data = gzip.decompress((DATA / name).read_bytes())
    sizes = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)


def batches(checkpoint, count):
    """Pixels and padded prompts of so many batches."""
    description = tomllib.loads((DATA / "fashion-mnist-6k.toml").read_text(encoding="utf-8"))
    texts = [description["template"].replace("{}", kind["name"]) for kind in description["classes"]]
    tokenizer = CLIPTokenizer(vocab=str(checkpoint / "vocab.json"), merges=str(checkpoint / "merges.txt"))
    prompts = tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    images, labels = read_idx("train-images-idx3-ubyte.gz"), read_idx("train-labels-idx1-ubyte.gz")
    processor = CLIPImageProcessorPil.from_pretrained(checkpoint)
    for start in range(0, count * BATCH, BATCH):
        pictures = [Image.fromarray(image).convert("RGB") for image in images[start : start + BATCH]]
        pixels = torch.from_numpy(np.stack(processor(pictures)["pixel_values"]))
        yield pixels, prompts[torch.from_numpy(labels[start : start + BATCH].astype(np.int64))]


def recipe(job, clock):
    """Times steps of the recipe, in a process of its own."""
    clip = CLIPModel.from_pretrained(job.checkpoint).float().train().requires_grad_(False)
    trained = adapt_texts(clip)
    optimizer = torch.optim.Adam(trained, **ADAM)
    factor = clip.logit_scale.exp()
    data = batches(job.checkpoint, job.warmup + job.steps)

    def step(pixels, ids):
        optimizer.zero_grad()
        loss = contrastive(image_features(clip, pixels), text_features(clip, ids), factor)
        loss.backward()
        optimizer.step()
        return loss.item()

    measured = ([], [], [])
    for number, (pixels, ids) in enumerate(data):
        assert pixels.shape == (BATCH, 3, 224, 224) and ids.shape == (BATCH, 77), (pixels.shape, ids.shape)
        times = clock.time(lambda: step(pixels, ids), 1)
        if number >= job.warmup:
            for all_values, values in zip(measured, times):
                all_values += values
    return *measured, {"trained": sum(weight.numel() for weight in trained)}


class Fast:
    """Runs of flora's preset on the fast path."""

    def __init__(self, options, scratch, **changes):
        """`changes` of the preset are for all runs."""
        self.options, self.scratch, self.changes = options, scratch, changes

    def run(self, name, rounds, data=DATA / "fashion-mnist-6k.toml", train=None, **changes):
        """What `run.json` says of a run of so many rounds, and the images of each client."""
        out = self.scratch / name
        changes = {
            "model.path": json.dumps(str(self.scratch / "model")),
            "data.path": json.dumps(str(data)),
            "data.cache": json.dumps(str(self.scratch / "cache")),
            "data.limit": f"{{train={train or self.options.images},test={TEST_IMAGES}}}",
            "method.implementation": '"fast"',
            "training.rounds": rounds,
            "federation.evaluate_local": "false",
        } | self.changes | changes
        words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
        Flora(self.options.flora).run("run", "paper", *words, "--threads", self.options.threads, "--numbers-only", "--out", out)
        with (out / "metrics.jsonl").open(encoding="utf-8") as file:
            (started,) = (event for event in map(json.loads, file) if event["event"] == "run_started")
        return json.loads((out / "run.json").read_text(encoding="utf-8")), [client["num_examples"] for client in started["clients"]]


def measure_recipe(options, checkpoint):
    """Seconds of a step and CPU-seconds of it, by the median, and bytes of memory."""
    measured = measure(recipe, Job(checkpoint, options.warmup, options.steps), threads=options.threads, keep_memory=False)
    losses = torch.tensor(measured.outputs)
    assert losses.isfinite().all() and len(losses.unique()) == len(losses), losses
    assert measured.facts["trained"] == trained_by("lora-step", SHAPE), measured.facts
    return statistics.median(measured.seconds), statistics.median(measured.cpu_seconds), measured.peak_memory


def main():
    options = arguments(
        __doc__.partition("\n\n")[0],
        images={"type": int, "default": 2560, "help": "trained on in a round, by all clients together; 6,400 at most (default: %(default)s)"},
        threads={"type": int, "default": os.cpu_count(), "help": "of either side (default: %(default)s)"},
        steps={"type": int, "default": 3, "help": "of the recipe that are timed (default: %(default)s)"},
        warmup={"type": int, "default": 1, "help": "steps before them (default: %(default)s)"},
        rounds={"type": int, "default": 5, "help": "of flora (default: %(default)s)"},
        scratch={"type": Path, "help": "where the checkpoint and the cache lie while they are needed (default: a temporary folder)"},
    )
    with tempfile.TemporaryDirectory(prefix="flora-peers-", dir=options.scratch) as temporary:
        scratch = Path(temporary)
        write_checkpoint(scratch / "model")
        step, cpu, memory = measure_recipe(options, scratch / "model")
        steps = options.images / BATCH
        print(f"recipe  {step:.2f} s and {cpu:.2f} CPU-s a step ({options.steps} timed), {memory / 1e9:.2f} GB", flush=True)

        fast = Fast(options, scratch)
        first, clients = fast.run("first", 0)
        caching = first["seconds"]["data"]
        print(f"flora   {caching:.1f} s for the features of {options.images + TEST_IMAGES} images, {first['peak_memory_bytes'] / 1e9:.2f} GB", flush=True)
        run, again = fast.run("cached", options.rounds)
        assert again == clients and sum(clients) == options.images and run["trainable_parameters"] == trained_by("lora-step", SHAPE), run
        seconds = run["seconds"]["training"] / options.rounds
        own = sum(-(-count // BATCH) for count in clients)
        print(f"flora   {seconds:.3f} s a round of {own} steps of {len(clients)} clients, {run['peak_memory_bytes'] / 1e9:.2f} GB")

    theirs = steps * step
    print(f"\na round of {options.images} images: recipe {theirs:.1f} s ({steps:.1f} whole batches), flora {seconds:.3f} s: {theirs / seconds:.0f} times as fast")
    print(f"{ROUNDS} rounds with the caching counted in: {ROUNDS * theirs / (ROUNDS * seconds + caching):.1f} times as fast")


if __name__ == "__main__":
    main()
