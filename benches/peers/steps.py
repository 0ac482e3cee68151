#!/usr/bin/env python3
"""Encoding and training steps of a CLIP with random weights, by flora and by PyTorch, turn by turn.

    steps.py                              # or --only lora-step ..., --model vit-l-14, --threads N, --each
    steps.py --precision bf16             # image-encode in bf16: flora's and PyTorch's, and flora's in f32

- `image-encode`, `text-encode`: one tower and its projection, without gradients.
- `lora-step`: the text tower forward, the contrastive loss against image features that are given, backward, and Adam's step of
  rank-2 adapters on the output projections of its attention. Every text is as long as `--tokens` says, and none is like another.
- `full-step`: both towers forward and backward, and Adam's step of every weight but the temperature.

Printed are items a second by the clock and CPU-seconds of a step, by their medians over all turns; ratios above 1 are in flora's
favour. Memory is the peak of the process, interpreter and libraries included. A process of its own does each turn.

The peer is `transformers.CLIPModel` with SDPA attention, in f32, with as many threads as flora; denormals are flushed, Adam is fused,
and glibc keeps the memory that is freed (`--give-back`: it does not). Encoding is in inference mode. LoRA is two matrices by hand, which
is less than what `peft` does around them. With `--each` each core has a process with one thread and a batch of its own, and they start
together. `--form` says how it is run; which form is the fastest depends on processor and workload, and `--alone` measures no other side:

- `eager`: as it is.
- `compiled`: by `torch.compile`, which needs a C++ compiler. The warm-up step waits for it.
- `frozen`: the same with the weights as constants, for encoding only.

With `--precision bf16` flora multiplies the frozen vision tower in bf16, and the peer runs under `torch.autocast`; where the weights are
constants, so are their roundings. flora's f32 is measured in the same turns.

flora leaves out what the last block of a tower would compute of positions that nobody asks for; `transformers` computes them.
"""

import json
import os
import statistics
from dataclasses import dataclass
from pathlib import Path

from peers import Flora, arguments  # first: it sets the environment

import torch
import torch._inductor.config as inductor
from apart import measure
from clips import ADAM, SHAPES, adapt_texts, configuration, contrastive, image_features, parameters_of, random_clip, text_features, train_all, trained_by

# Each with the form of the peer that is run where `--form` names none.
WORKLOADS = {"image-encode": "frozen", "text-encode": "frozen", "lora-step": "compiled", "full-step": "compiled"}
FORMS = ["eager", "compiled", "frozen"]
# As `flora bench` does.
MATRICES = [256, 512, 1024, 2048]
FACTOR = 1 / 0.07  # on the cosines, as CLIP starts


@dataclass(frozen=True)
class Job:
    """What a process of the peer is to do."""

    workload: str
    model: str
    batch: int
    tokens: int
    form: str
    precision: str
    warmup: int
    repeats: int
    device: str = "cpu"  # as PyTorch calls it


def random_texts(config, count, length):
    """The start token, any words, and the end token at the last place."""
    largest = config.vocab_size - 1
    # Configurations before transformers 4.31 say 2 and mean the largest id.
    end = largest if config.eos_token_id == 2 else config.eos_token_id
    start = min(config.bos_token_id, largest)
    ids = torch.randint(config.vocab_size, (count, length))
    ids[ids == end] = start
    ids[:, 0], ids[:, -1] = start, end
    return ids


def in_form(function, form):
    # Weights become constants, which may be kept in an order that suits the products.
    inductor.freezing = form == "frozen"
    return function if form == "eager" else torch.compile(function)


HALVES = {"bf16": torch.bfloat16, "f16": torch.float16}


def synchronize(device):
    """Waits for what the device was given."""
    if device != "cpu":
        torch.accelerator.synchronize()


def encoder(function, inputs, job):
    function = in_form(function, job.form)
    half = HALVES.get(job.precision)

    def step():
        with torch.inference_mode(), torch.autocast(torch.device(job.device).type, half, enabled=half is not None):
            features = function(inputs)
        synchronize(job.device)
        return features

    return step


def trainer(loss, trained, inputs, form):
    loss = in_form(loss, form)
    optimizer = torch.optim.Adam(trained, fused=True, **ADAM)

    def step():
        optimizer.zero_grad()
        value = loss(*inputs)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def prepared(job):
    """A step, and how many numbers it trains."""
    clip = random_clip(job.model).to(job.device)
    text, vision = clip.config.text_config, clip.config.vision_config
    pixels = torch.randn(job.batch, vision.num_channels, vision.image_size, vision.image_size).to(job.device)
    ids = random_texts(text, job.batch, job.tokens).to(job.device)
    given = torch.randn(job.batch, clip.config.projection_dim).to(job.device)

    def of_texts(ids):
        return contrastive(given, text_features(clip, ids), FACTOR)

    def of_both(pixels, ids):
        return contrastive(image_features(clip, pixels), text_features(clip, ids), FACTOR)

    match job.workload:
        case "image-encode":
            return encoder(lambda pixels: image_features(clip, pixels), pixels, job), []
        case "text-encode":
            return encoder(lambda ids: text_features(clip, ids), ids, job), []
        case "lora-step":
            trained = adapt_texts(clip)
            clip.to(job.device)
            return trainer(of_texts, trained, [ids], job.form), trained
        case "full-step":
            trained = train_all(clip)
            return trainer(of_both, trained, [pixels, ids], job.form), trained


def matmul_peak(clock, device="cpu", sizes=MATRICES):
    """The best product of two square matrices in f32, in 1e9 floating-point operations a second: of this process."""
    best = 0
    for size in sizes:
        left, right = torch.rand(2, size, size, device=device) - 0.5

        def multiply():
            product = left @ right
            synchronize(device)
            return product

        with torch.inference_mode():
            multiply()
            seconds, _, _ = clock.time(multiply, max(4, 8192 // size))
        best = max(best, 2 * size**3 / min(seconds) / 1e9)
    return best


def work(job, clock):
    """Times the steps of a job, in a process of its own."""
    peak = matmul_peak(clock)
    step, trained = prepared(job)
    clock.time(step, job.warmup)
    seconds, cpu_seconds, outputs = clock.time(step, job.repeats)
    if not trained:
        outputs = [(tuple(features.shape), bool(features.isfinite().all())) for features in outputs]
    return seconds, cpu_seconds, outputs, {"peak": peak, "trained": sum(weight.numel() for weight in trained)}


def check(job, measured):
    """That the peer did what it should."""
    if job.workload.endswith("-encode"):
        expected = ((job.batch, configuration(job.model).projection_dim), True)
        assert measured.outputs == [expected] * job.repeats, measured.outputs
    else:
        losses = torch.tensor(measured.outputs)
        assert losses.isfinite().all() and len(losses.unique()) == len(losses), losses
        assert measured.facts["trained"] == trained_by(job.workload, job.model), measured.facts


class Side:
    """What was measured of one side of a workload, over all turns."""

    def __init__(self, items):
        self.items, self.seconds, self.cpu_seconds, self.peaks, self.memory = items, [], [], [], 0

    def add(self, seconds, cpu_seconds, peak, memory):
        self.seconds += seconds
        self.cpu_seconds.append(cpu_seconds)
        self.peaks.append(peak)
        self.memory = max(self.memory, memory)

    @property
    def rate(self):
        """Items a second, by the median."""
        return self.items / statistics.median(self.seconds)

    @property
    def cpu(self):
        """CPU-seconds of a repeat, by the median."""
        return statistics.median(self.cpu_seconds)

    def last(self, count):
        """A line on the last turn."""
        rate = self.items / statistics.median(self.seconds[-count:])
        return f"{rate:8.2f} a second  {self.cpu_seconds[-1]:7.2f} CPU-s  peak {self.peaks[-1]:6.1f} GFLOP/s"


def peer_turn(job, options, side):
    processes, threads = (options.threads, 1) if options.each else (1, options.threads)
    measured = measure(work, job, processes, threads, keep_memory=not options.give_back)
    check(job, measured)
    side.add(measured.seconds, statistics.median(measured.cpu_seconds), processes * measured.facts["peak"], measured.peak_memory)
    losses = f"  loss {measured.outputs[0]:.3f} to {measured.outputs[-1]:.3f}" if measured.facts["trained"] else ""
    print(f"  {job.workload:<12} PyTorch {side.last(job.repeats)}{losses}", flush=True)


def flora_turn(job, options, side, parameters, precision):
    words = ["bench", job.workload, "--shape" if job.model in SHAPES else "--model", job.model]
    for flag in ("batch", "tokens", "warmup", "repeats"):
        words += [f"--{flag}", getattr(job, flag)]
    words += ["--threads", options.threads, "--device", "cpu", "--json"] + ["--each"] * options.each
    words += ["--precision", precision]
    report = json.loads(Flora(options.flora).run(*words))
    (result,) = report["results"]
    told = (result["workload"], result["batch"], result["tokens"] or job.tokens, report["threads"], report["each"], result["precision"])
    assert told == (job.workload, job.batch, job.tokens, options.threads, options.each, precision), report
    assert report["model"]["parameters"] == parameters, (report["model"], parameters)
    side.add(result["seconds"]["samples"], result["cpu_seconds"], report["peak"]["gflops"], result["peak_memory_bytes"])
    name = "flora" if precision == job.precision else precision
    print(f"  {job.workload:<12} {name:<7} {side.last(job.repeats)} of which used {100 * result['share_of_peak']:.0f} %", flush=True)


def table(sides):
    """By the medians of all turns."""
    head = f"{'':<12} {'PyTorch':>9} {'flora':>9}   {'by the clock':>12} {'by CPU time':>12}   {'GB, PyTorch':>11} {'flora':>6}"
    lines = [head]
    for workload, (peer, flora, _) in sides.items():
        ratios = f"{flora.rate / peer.rate:>12.2f} {peer.cpu / flora.cpu:>12.2f}"
        memory = f"{peer.memory / 1e9:>11.2f} {flora.memory / 1e9:>6.2f}"
        lines.append(f"{workload:<12} {peer.rate:>9.2f} {flora.rate:>9.2f}   {ratios}   {memory}")
    peer, flora = (statistics.median(peak for each in sides.values() for peak in each[which].peaks) for which in (0, 1))
    lines.append(f"{'matmul peak':<12} {peer:>9.1f} {flora:>9.1f}   {flora / peer:>12.2f}")
    for workload, (_, flora, plain) in sides.items():
        if plain.seconds:
            ratios = f"{flora.rate / plain.rate:.2f} by the clock, {plain.cpu / flora.cpu:.2f} by CPU time"
            lines.append(f"{workload}, flora's bf16 as a multiple of its f32 ({plain.rate:.2f} a second): {ratios}")
    return "\n".join(lines)


def main():
    only = {"nargs": "+", "choices": list(WORKLOADS), "default": list(WORKLOADS), "metavar": "WORKLOAD", "help": f"of {', '.join(WORKLOADS)}"}
    options = arguments(
        __doc__.partition("\n\n")[0],
        only=only,
        model={"default": "vit-b-32", "help": f"{', '.join(SHAPES)}, or a folder in Hugging Face's layout (default: %(default)s)"},
        batch={"type": int, "default": 32, "help": "images, texts or pairs (default: %(default)s)"},
        tokens={"type": int, "default": 77, "help": "length of every text (default: %(default)s)"},
        threads={"type": int, "default": os.cpu_count(), "help": "of either side (default: %(default)s)"},
        each={"action": "store_true", "help": "not one batch on all threads but one on each; the peer has a process for each of them"},
        rounds={"type": int, "default": 3, "help": "turns of each side (default: %(default)s)"},
        repeats={"type": int, "default": 3, "help": "steps of a turn (default: %(default)s)"},
        warmup={"type": int, "default": 1, "help": "steps before them (default: %(default)s)"},
        form={"choices": FORMS, "help": "of the peer (default: frozen for encoding, compiled for steps)"},
        **{"give-back": {"action": "store_true", "help": "let glibc manage the peer's memory as it usually does"}},
        precision={"choices": ["f32", "bf16"], "default": "f32", "help": "bf16: image-encode only (default: %(default)s)"},
        alone={"action": "store_true", "help": "measure the peer only"},
    )
    if options.precision == "bf16":
        options.only = ["image-encode"]
    if options.model not in SHAPES:
        options.model = str(Path(options.model).resolve())
    parameters = parameters_of(options.model)
    print(f"{options.model}, {parameters:,} parameters; batch {options.batch}, texts of {options.tokens} tokens, {options.threads} threads")
    items = options.batch * (options.threads if options.each else 1)
    sides = {workload: (Side(items), Side(items), Side(items)) for workload in options.only}
    for turn in range(options.rounds):
        for workload, (peer, flora, plain) in sides.items():
            form = options.form or WORKLOADS[workload]
            job = Job(workload, options.model, options.batch, options.tokens, form, options.precision, options.warmup, options.repeats)
            turns = [lambda: peer_turn(job, options, peer)]
            if not options.alone:
                turns.append(lambda: flora_turn(job, options, flora, parameters, options.precision))
                if options.precision != "f32":
                    turns.append(lambda: flora_turn(job, options, plain, parameters, "f32"))
            # Whoever comes second finds the machine warmer.
            for take in turns if turn % 2 == 0 else reversed(turns):
                take()
    if not options.alone:
        print(f"\nitems a second, and flora's speed as a multiple of PyTorch's\n{table(sides)}")


if __name__ == "__main__":
    main()
