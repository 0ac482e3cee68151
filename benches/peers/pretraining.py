#!/usr/bin/env python3
"""How fast flora pretrains, beside PyTorch: a CLIP of clip-nano's shape from random weights, on the same pairs.

    pretraining.py --pairs PAIRS          # PAIRS as `flora-icons pairs` writes them

Both take turns, `--rounds` times; what is printed is pairs a second of wall clock and CPU-seconds per 1,000 pairs.

The peer is `transformers.CLIPModel` under `torch.compile`, made as fast as could be found:

- One process a core, with one thread each. The weights lie in shared memory. Each process takes its shards of the batch, all
  features are put together, everybody computes the loss over the whole batch and runs its own shards backward from it, and each
  adds up the gradients of its share of the weights and updates these.
- Shards of 32 pairs, small enough for the caches. The captions of a batch are sorted by their length before it is cut, so that
  little is padded.
- SDPA attention, AdamW fused, denormals flushed. Captions are tokenised and pictures read before the clock starts; there is no
  augmentation unless `--augment` (flora always augments).

Also tried, on two cores of an AMD EPYC (Zen 4) with torch 2.15, 256 pairs a step, 8 steps each in a quiet moment; in brackets
CPU-seconds per 1,000 pairs, which other programs disturb less:

    as it is                                                385 pairs/s (4.9)
    without torch.compile (`--eager`)                       370 (5.2)
    the same, and `attn_implementation="eager"`             366 (5.3)
    the same, and denormals not flushed                     371 (5.2)
    the same, and captions not sorted                       301 (6.4)
    the same in shards of 16                                348 (5.6)
    compiled in shards of 64                                360 (5.1)
    two Python threads instead of processes                 384 (4.8), without torch.compile 355 (5.3)
    one process, two torch threads, no compile, shards of 64: 338 (5.9), of 32: 280 (7.1), of 128: 283 (7.0), whole: 247 (8.1)
    bfloat16 by autocast, without torch.compile             425 (4.5); see `--bfloat16`. flora computes in f32, so this is not the default

Of the time 75 % are products of matrices, which MKL does at 104 GFLOP/s a core: there is little left to gain in f32.
"""

import json
import os
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

from peers import ROOT, Flora, arguments  # first: it sets the environment

import torch
import torch.multiprocessing
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

BASE = ROOT / "models/clip-nano"
SHARD = 32
# Steps before the clock starts: the text tower is compiled anew until the compiler sees that lengths vary.
WARM_UP = 5
# Of the one-colour pictures, as in examples/pretrain-clip-nano.toml; the others have longer captions.
MONO_SHARE = 0.4
LEARNING_RATE = 5e-4


class Pairs:
    """As many training pairs as were asked for, in random order, each with one of its captions."""

    def __init__(self, folder, count, seed):
        rng = random.Random(seed)
        rows = [json.loads(line) for line in (folder / "pairs.jsonl").open(encoding="utf-8")]
        wanted = [i for i, row in enumerate(rows) if row["split"] == "train" and (not row["mono"] or rng.random() < MONO_SHARE)]
        rng.shuffle(wanted)
        wanted = (wanted * -(-count // len(wanted)))[:count]
        self.rows = [rows[i] for i in wanted]
        self.captions = [rng.choice(row["captions"]) for row in self.rows]
        with safe_open(folder / "pairs.safetensors", "pt") as file:
            images = file.get_slice("images")
            self.images = torch.stack([images[i] for i in wanted])

        config = CLIPConfig.from_pretrained(BASE).text_config
        tokenizer = CLIPTokenizer(vocab=str(BASE / "vocab.json"), merges=str(BASE / "merges.txt"))
        ids = tokenizer(self.captions, truncation=True, max_length=config.max_position_embeddings)["input_ids"]
        self.lengths = torch.tensor([len(caption) for caption in ids])
        # Padding comes after the end of the text, where the causal mask hides it.
        self.ids = torch.full((count, max(map(len, ids))), config.eos_token_id)
        for row, caption in zip(self.ids, ids):
            row[: len(caption)] = torch.tensor(caption)
        places = {}
        self.groups = torch.tensor([places.setdefault(caption, len(places)) for caption in self.captions])


class Pixels:
    """From RGBA bytes to what the model takes."""

    def __init__(self, augment):
        processor = json.loads((BASE / "preprocessor_config.json").read_text())
        self.mean, self.std = (torch.tensor(processor[f"image_{what}"]).view(1, 3, 1, 1) for what in ("mean", "std"))
        self.augment = augment

    def __call__(self, images):
        images = images.permute(0, 3, 1, 2).float().div_(255)
        color, alpha = images[:, :3], images[:, 3:]
        if not self.augment:
            return (((color - 1) * alpha + (1 - self.mean)) / self.std).contiguous()
        count = len(images)

        def any_of(low, high, *shape):
            return torch.empty(count, *shape).uniform_(low, high)

        angle, scale = any_of(-0.2094, 0.2094), any_of(0.75, 1.1)
        cos, sin, (x, y) = angle.cos() / scale, angle.sin() / scale, any_of(-0.16, 0.16, 2).unbind(1)
        grid = F.affine_grid(torch.stack([cos, sin, x, -sin, cos, y], 1).view(count, 2, 3), list(images.shape), align_corners=False)
        moved = F.grid_sample(torch.cat([color * alpha, alpha], 1), grid, align_corners=False)
        ground = torch.where(any_of(0, 1, 1, 1, 1) < 0.4, any_of(0, 1, 3, 1, 1), 1.0)
        image = moved[:, :3] + ground * (1 - moved[:, 3:])
        image = ((image - 0.5) * any_of(0.75, 1.25, 1, 1, 1) + 0.5) * any_of(0.75, 1.25, 1, 1, 1)
        return (image.clamp_(0, 1) - self.mean) / self.std


def loss_of(images, texts, groups, logit_scale):
    """flora_clip::loss::multi_positive_contrastive of the scaled cosine similarities."""
    factor = logit_scale.clamp(max=4.6052).exp()
    logits = factor * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).t()
    targets = (groups[:, None] == groups).float()
    targets /= targets.sum(1, keepdim=True)
    return -((logits.log_softmax(0) + logits.log_softmax(1)) * targets).sum() / (2 * len(groups))


class Shared:
    """What the processes see of each other: weights, each one's gradients, features of the batch."""

    def __init__(self, model, batch, count):
        self.weights = torch.cat([weight.detach().flatten() for weight in model.parameters()]).share_memory_()
        self.gradients = torch.zeros(count, len(self.weights)).share_memory_()
        self.images, self.texts = torch.zeros(2, batch, model.projection_dim).share_memory_()
        self.context = torch.multiprocessing.get_context("fork")
        self.barrier, self.reports = self.context.Barrier(count), self.context.SimpleQueue()


class Worker:
    """One of the processes."""

    def __init__(self, rank, count, model, shared, options):
        self.rank, self.count, self.model, self.shared = rank, count, model, shared
        self.pixels, self.bfloat16 = Pixels(options.augment), options.bfloat16
        place, own = 0, []
        for weight in model.parameters():
            here = slice(place, place + weight.numel())
            weight.data = shared.weights[here].view_as(weight)
            weight.grad = shared.gradients[rank, here].view_as(weight)
            if place * count // len(shared.weights) == rank:
                own.append((here, weight))
            place = here.stop
        self.own = slice(own[0][0].start, own[-1][0].stop)
        matrices, vectors = ([weight for _, weight in own if (weight.ndim > 1) == is_matrix] for is_matrix in (True, False))
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), eps=1e-6, fused=True)

        def image_tower(pixels):
            return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)

        def text_tower(ids):
            return model.text_projection(model.text_model(input_ids=ids).pooler_output)

        self.image_tower, self.text_tower = image_tower, text_tower
        if not options.eager:
            self.image_tower, self.text_tower = torch.compile(image_tower), torch.compile(text_tower, dynamic=True)

    def features(self, tower, inputs):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return tower(inputs).float()

    def step(self, images, ids, lengths, groups):
        shared, mine = self.shared, shares(len(groups), self.count)[self.rank]
        order = lengths.argsort()
        images, ids, lengths, groups = images[order], ids[order], lengths[order], groups[order]
        shared.gradients[self.rank].zero_()

        image_features = [self.features(self.image_tower, self.pixels(images[shard])) for shard in mine]
        captions = [ids[shard, : lengths[shard].max()].contiguous() for shard in mine]
        text_features = [self.features(self.text_tower, shard) for shard in captions]
        for shard, image, text in zip(mine, image_features, text_features):
            shared.images[shard], shared.texts[shard] = image.detach(), text.detach()
        shared.barrier.wait()

        all_images, all_texts = (features.clone().requires_grad_() for features in (shared.images, shared.texts))
        scale = self.model.logit_scale
        loss = loss_of(all_images, all_texts, groups, scale if self.rank == 0 else scale.detach())
        loss.backward()
        for shard, image, text in zip(mine, image_features, text_features):
            torch.autograd.backward([image, text], [all_images.grad[shard], all_texts.grad[shard]])
        shared.barrier.wait()

        for other in range(self.count):
            if other != self.rank:
                shared.gradients[self.rank, self.own] += shared.gradients[other, self.own]
        self.optimizer.step()
        shared.barrier.wait()
        return loss.item()

    def run(self, pairs, batch):
        """Wall and CPU seconds of the steps after the warm-up, and the loss of each."""
        steps = zip(*(part.split(batch) for part in (pairs.images, pairs.ids, pairs.lengths, pairs.groups)))
        losses = []
        for number, data in enumerate(steps):
            if number == WARM_UP:
                wall, cpu = time.perf_counter(), time.process_time()
            losses.append(self.step(*data))
        return time.perf_counter() - wall, time.process_time() - cpu, losses


def shares(batch, count):
    """The shards of each process: dealt out to and fro, as later ones have longer captions."""
    shards = [slice(start, min(start + SHARD, batch)) for start in range(0, batch, SHARD)]
    turns = [*range(count), *reversed(range(count))]
    return [[shard for place, shard in enumerate(shards) if turns[place % len(turns)] == rank] for rank in range(count)]


def work(rank, model, shared, pairs, options):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.set_grad_enabled(True)
    try:
        shared.reports.put(Worker(rank, options.threads, model, shared, options).run(pairs, options.batch))
    except BaseException:
        shared.barrier.abort()
        raise


def peer_rate(pairs, options):
    """Pairs a second, CPU-seconds per 1,000 pairs, and the first and the last loss."""
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig.from_pretrained(BASE)).float().train()
    shared = Shared(model, options.batch, options.threads)
    processes = [shared.context.Process(target=work, args=(rank, model, shared, pairs, options)) for rank in range(options.threads)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a process of the peer failed")
    reports = [shared.reports.get() for _ in processes]
    count, losses = options.steps * options.batch, reports[0][2]
    return count / max(report[0] for report in reports), 1000 * sum(report[1] for report in reports) / count, (losses[0], losses[-1])


def flora_rate(binary, pairs, steps, batch, threads):
    """Pairs a second by `pretraining.json` of a training of as many steps, which includes its start-up and saving, and CPU-seconds
    per 1,000 pairs of the whole program."""
    with tempfile.TemporaryDirectory(prefix="flora-peers-") as temporary:
        scratch = Path(temporary)
        # One pass over just the pairs of these steps, each with the caption that the peer has for it.
        count = steps * batch
        save_file({"images": pairs.images[:count].contiguous()}, scratch / "pairs.safetensors")
        with (scratch / "pairs.jsonl").open("w", encoding="utf-8") as file:
            for row, caption in zip(pairs.rows[:count], pairs.captions):
                pair = {"source": row["source"], "kind": "pair", "captions": [caption], "mono": row["mono"], "split": "train"}
                file.write(json.dumps(pair) + "\n")
        settings = {
            "model": "clip-nano",
            "pairs": str(scratch),
            "out": str(scratch / "model"),
            "log": str(scratch / "log"),
            "epochs": 1,
            "batch_size": batch,
            "learning_rate": LEARNING_RATE,
            "warmup_steps": 1,
            "weight_decay": 0.1,
            "threads": threads,
        }
        config = scratch / "pretrain.toml"
        config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        Flora(binary).run("pretrain", config)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = json.loads((scratch / "model/pretraining.json").read_text())
        assert summary["steps"] == steps, (summary["steps"], steps)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return summary["pairs_per_second"], 1000 * cpu / count


def main():
    options = arguments(
        __doc__.partition("\n\n")[0],
        pairs={"type": Path, "required": True, "help": "folder of pairs.safetensors and pairs.jsonl"},
        steps={"type": int, "default": 20, "help": "steps of each measurement (default: %(default)s)"},
        batch={"type": int, "default": 256, "help": "pairs a step (default: %(default)s)"},
        threads={"type": int, "default": os.cpu_count(), "help": "processes of the peer, threads of flora (default: %(default)s)"},
        rounds={"type": int, "default": 3, "help": "measurements of each side (default: %(default)s)"},
        augment={"action": "store_true", "help": "let the peer vary its pictures, too"},
        bfloat16={"action": "store_true", "help": "let the peer multiply in bfloat16 (autocast); flora computes in f32"},
        eager={"action": "store_true", "help": "do without torch.compile, which needs a C++ compiler"},
        alone={"action": "store_true", "help": "measure the peer only"},
    )
    pairs = Pairs(options.pairs, (WARM_UP + options.steps) * options.batch, seed=0)
    print(f"{options.steps} steps of {options.batch} pairs, {options.threads} cores; captions of {pairs.lengths.float().mean():.1f} tokens")
    rates = {"PyTorch": [], "flora": []}
    for _ in range(options.rounds):
        rate, cpu, (first, last) = peer_rate(pairs, options)
        rates["PyTorch"].append((rate, cpu))
        print(f"  PyTorch {rate:7.1f} pairs/s  {cpu:5.2f} CPU-s per 1,000 pairs  (loss {first:.3f} to {last:.3f})", flush=True)
        if not options.alone:
            rate, cpu = flora_rate(options.flora, pairs, options.steps, options.batch, options.threads)
            rates["flora"].append((rate, cpu))
            print(f"  flora   {rate:7.1f} pairs/s  {cpu:5.2f} CPU-s per 1,000 pairs", flush=True)
    summarize(rates)


def summarize(rates):
    """Best and median of both sides, and flora's share of the peer's speed."""
    for what, of_wall, of_cpu in (("best", max, min), ("median", statistics.median, statistics.median)):
        sides = {side: (of_wall(wall), of_cpu(cpu)) for side, measured in rates.items() if measured for wall, cpu in [zip(*measured)]}
        texts = [f"{side} {wall:.1f} pairs/s, {cpu:.2f} CPU-s" for side, (wall, cpu) in sides.items()]
        if len(sides) == 2:
            (peer_wall, peer_cpu), (wall, cpu) = sides.values()
            texts.append(f"flora's speed is {wall / peer_wall:.2f} of PyTorch's by the clock, {peer_cpu / cpu:.2f} by CPU time")
        print(f"{what}: {'; '.join(texts)}")


if __name__ == "__main__":
    main()
