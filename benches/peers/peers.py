"""What the scripts beside this one share: running flora, comparing arrays, and the texts and images that both sides embed."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.dont_write_bytecode = True
warnings.filterwarnings("ignore", category=FutureWarning)  # of transformers about itself, of torch.jit about its age

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "crates/flora-clip/tests/fixtures"
sys.path.insert(0, str(FIXTURES))  # for its package `makers`

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)
torch.set_grad_enabled(False)

# Ordinary words: here the models are compared. What tokenizers do with stranger texts, flora-clip's own tests compare.
TEXTS = [
    "a",
    "a photo of a cat",
    "two small dogs in the snow",
    "a photo of a red mushroom, seen from a long way above",
    "grinning face with smiling eyes",
    "flag: united states",
    "it's a dog's life, isn't it?",
    "a centered satellite photo of permanent crop land.",
    "747-400",
    "the quick brown fox jumps over the lazy dog",
    "an oil painting of a lighthouse at dusk. " * 20,  # longer than any context
    "eight bicycles",
]


def arguments(description, **flags):
    """--flora, --threads and what `flags` add."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--flora", type=Path, default=ROOT / "target/release/flora", help="the program (default: %(default)s)")
    for name, options in flags.items():
        parser.add_argument(f"--{name}", **options)
    chosen = parser.parse_args()
    if not chosen.flora.is_file():
        parser.error(f"{chosen.flora} is not there: build it by `cargo build --release`, or name it by --flora")
    return chosen


def write_texts(path, texts=TEXTS):
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def write_images(folder, sizes, seed):
    """PNG files of these sizes: gradients under blocks of noise."""
    from makers.images import rgb

    folder.mkdir(parents=True)
    for i, (width, height) in enumerate(sizes):
        rgb(width, height, seed + i, block=5).save(folder / f"{i:02}.png")
    return folder


def opened(folder):
    """The images of a folder in sorted order, as flora takes them."""
    return [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]


class Flora:
    """The built program."""

    def __init__(self, path):
        self.path = path.resolve()

    def run(self, *words):
        """Its output; ends the script with its message if it fails."""
        done = self.attempt(*words)
        if done.returncode:
            sys.exit(f"flora {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def attempt(self, *words):
        return subprocess.run([self.path, *map(str, words)], cwd=ROOT, capture_output=True, text=True)

    def embed(self, model, *, texts=None, images=None, adapter=None, raw=False, suffix=".npy"):
        """What `flora embed` writes, f32 [rows, width]."""
        words = ["embed", "--model", model]
        words += ["--adapter", adapter] if adapter else []
        words += ["--texts", texts] if texts else ["--images", images]
        words += ["--raw"] if raw else []
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) / f"embeddings{suffix}"
            self.run(*words, "--out", out)
            if suffix == ".npy":
                rows = np.load(out, allow_pickle=False)
            else:
                from safetensors.numpy import load_file

                rows = load_file(out)["embeddings"]
        assert rows.dtype == np.float32 and rows.ndim == 2, (rows.dtype, rows.shape)
        return rows


def unit(rows):
    """Each row by its L2 norm, in f64."""
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def logits(images, texts, logit_scale):
    """exp(logit_scale) times the cosines, [images, texts]."""
    return np.exp(float(logit_scale)) * unit(images) @ unit(texts).T


class Report:
    """Prints every comparison, and knows at the end whether all held."""

    def __init__(self):
        self.worst, self.count, self.failed, self.started = ("", 0.0), 0, [], time.monotonic()

    def section(self, title):
        print(f"\n{title}", flush=True)

    def check(self, what, held, detail=""):
        self.count += 1
        if not held:
            self.failed.append(what)
        print(f"  {'ok  ' if held else 'FAIL'} {what:<58} {detail}", flush=True)

    def near(self, what, ours, theirs, tolerance):
        """The largest absolute difference is below `tolerance`. Not-a-number and other shapes are failures."""
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        if ours.shape != theirs.shape:
            return self.check(what, False, f"shape {ours.shape} instead of {theirs.shape}")
        error = np.abs(ours - theirs).max()
        share = error / tolerance
        if share > self.worst[1]:
            self.worst = (f"{what}: {error:.1e} of {tolerance:.0e}", share)
        self.check(what, bool(error < tolerance), f"{error:.1e}  (< {tolerance:.0e})")

    def embeddings(self, what, ours, ours_raw, theirs_raw, tolerance):
        """L2-normalised rows, and raw ones by the norm of their row."""
        self.near(f"{what}, normalised", ours, unit(theirs_raw), tolerance)
        norms = np.linalg.norm(np.asarray(theirs_raw, np.float64), axis=1, keepdims=True)
        self.near(f"{what}, raw by the row's norm", ours_raw / norms, theirs_raw / norms, tolerance)
        # Rows that are all alike would agree whatever was computed.
        spread = np.abs(unit(theirs_raw)[:, None] - unit(theirs_raw)[None]).max(-1)
        self.check(f"{what}, no two rows alike", bool((spread + np.eye(len(spread))).min() > 1e-2), f"{len(spread)} rows")

    def finish(self):
        """Ends the script: 1 if any comparison failed."""
        name, share = self.worst
        print(f"\n{self.count - len(self.failed)} of {self.count} held in {time.monotonic() - self.started:.0f} s; closest to its bound: {name}")
        for what in self.failed:
            print(f"failed: {what}")
        sys.exit(1 if self.failed or not self.count else 0)
