#!/usr/bin/env python3
"""Image encoding, the text LoRA step and the full step on a GPU, by flora's backends and by PyTorch, with random weights.

    gpu.py                                                   # vulkan and cuda, beside PyTorch's cuda; both models
    gpu.py --devices wgpu --torch cpu --models tiny --batch 2 --repeats 1   # to try the script without a GPU

flora's program must be built with the backends: `cargo build --release --features vulkan,cuda,fusion,autotune`. What cannot be
measured, because the program lacks a backend or the machine a device, has a row that says so. The peer is `transformers.CLIPModel` under
`torch.compile`, in f32 without TF32 unless `--tf32`; in 16 bits it runs under `torch.autocast`. Devices are waited for before a clock is
read. Printed are items a second by the median, the share of the peak that each side's own square products in f32 reach, and flora's speed
as a multiple of PyTorch's. `--json FILE` keeps it all.
"""

import json
import statistics
from pathlib import Path

from peers import FIXTURES, Flora, arguments  # first: it sets the environment

import torch
from apart import measure
from clips import SHAPES
from steps import WORKLOADS, Job, check, matmul_peak, prepared

MEASURED = ["image-encode", "lora-step", "full-step"]
PRECISIONS = ["f32", "bf16", "f16"]
MATRICES = [1024, 2048, 4096, 8192]


def work(job, clock):
    """Times the steps of a job of PyTorch's, in a process of its own."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job.form.endswith("+tf32")
    job = Job(**{**job.__dict__, "form": job.form.removesuffix("+tf32")})
    peak = matmul_peak(clock, job.device, MATRICES if job.device != "cpu" else MATRICES[:1])
    if job.device.startswith("cuda"):
        # The peak's matrices are no part of the step.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step, trained = prepared(job)
    clock.time(step, job.warmup)
    seconds, cpu_seconds, outputs = clock.time(step, job.repeats)
    if not trained:
        outputs = [(tuple(features.shape), bool(features.isfinite().all())) for features in outputs]
    memory = torch.cuda.max_memory_allocated() if job.device.startswith("cuda") else None
    return seconds, cpu_seconds, outputs, {"peak": peak, "memory": memory, "trained": sum(weight.numel() for weight in trained)}


def of_torch(workload, model, precision, options):
    """Items a second, or why there are none."""
    if options.torch.startswith("cuda") and not torch.cuda.is_available():
        return None, "PyTorch finds no CUDA device here"
    form = WORKLOADS[workload] + ("+tf32" if options.tf32 else "")
    tokens = options.tokens
    job = Job(workload, model, options.batch, tokens, form, precision, options.warmup, options.repeats, options.torch)
    try:
        measured = measure(work, job, 1, options.threads)
        check(job, measured)
    except (SystemExit, AssertionError) as error:
        return None, f"PyTorch failed: {error}"
    rate = options.batch / statistics.median(measured.seconds)
    return {"rate": rate, **measured.facts}, None


def of_flora(model, options):
    """By device, precision and workload: a result with its report, or why there is none."""
    shape = ["--shape", model] if model in SHAPES else ["--model", model]
    found = {}
    for device in options.devices:
        words = ["bench", *MEASURED, *shape, "--devices", device, "--precision", ",".join(PRECISIONS), "--json"]
        for flag in ("batch", "tokens", "warmup", "repeats"):
            words += [f"--{flag}", getattr(options, flag)]
        done = Flora(options.flora).attempt(*words)
        try:
            told = json.loads(done.stdout)["devices"]
        except json.JSONDecodeError:
            found[device] = done.stderr.strip().partition("error: ")[2].partition("\n")[0] or "flora failed"
            continue
        for each in told:
            results = each["report"]["results"] if each["report"] else []
            for result in results:
                found[device, each["precision"], result["workload"]] = {**result, "peak": each["report"]["peak"]["gflops"]}
            if not results:
                found[device, each["precision"]] = each["problem"]
    return found


def rows(model, options):
    """Lines of the table, and what they were made of."""
    flora = of_flora(model, options)
    for workload in MEASURED:
        for precision in PRECISIONS if workload == "image-encode" else PRECISIONS[:1]:
            peer, why = of_torch(workload, model, precision, options)
            # The arithmetic of an item is flora's count: the peer computes at least as much.
            known = [value for key, value in flora.items() if isinstance(value, dict) and key[2] == workload]
            item = known[0]["gflop"] / options.batch if known else None
            share = f"{100 * peer['rate'] * item / peer['peak']:4.0f} %" if peer and item else ""
            name = f"{Path(model).name:<10} {workload:<12} {precision:<4}"
            yield f"{name} PyTorch {options.torch:<8} " + (f"{peer['rate']:9.1f} a second {share}" if peer else f"not measured: {why}"), peer
            for device in options.devices:
                result = flora.get((device, precision, workload))
                if result is None:
                    why = flora.get(device) or flora.get((device, precision)) or "no such row"
                    yield f"{name} flora   {device:<8} not measured: {why.partition(chr(10))[0]}", None
                    continue
                ratio = f"{result['items_per_second'] / peer['rate']:5.2f} of PyTorch" if peer else ""
                difference = "" if result.get("difference") is None else f"differs from flex by {result['difference']:.0e}"
                line = f"{result['items_per_second']:9.1f} a second {100 * result['share_of_peak']:4.0f} %  {ratio}  {difference}"
                yield f"{name} flora   {device:<8} {line}", result


def main():
    options = arguments(
        __doc__.partition("\n\n")[0],
        devices={"nargs": "+", "default": ["vulkan", "cuda"], "help": "flora's (default: %(default)s)"},
        torch={"default": "cuda", "help": "PyTorch's device (default: %(default)s)"},
        models={"nargs": "+", "default": ["vit-b-32", "vit-l-14"], "help": f"{', '.join(SHAPES)}, or tiny, a small one (default: %(default)s)"},
        batch={"type": int, "default": 64, "help": "images or pairs (default: %(default)s)"},
        tokens={"type": int, "default": 77, "help": "length of every text (default: %(default)s)"},
        warmup={"type": int, "default": 3, "help": "steps before those that count (default: %(default)s)"},
        repeats={"type": int, "default": 10, "help": "steps that count (default: %(default)s)"},
        threads={"type": int, "default": 2, "help": "of PyTorch's process (default: %(default)s)"},
        tf32={"action": "store_true", "help": "PyTorch rounds factors to 10 bits"},
        json={"type": Path, "help": "a file for all that was measured"},
    )
    tiny = str(FIXTURES / "tiny-clip")
    kept = []
    for model in options.models:
        for line, result in rows(tiny if model == "tiny" else model, options):
            print(line, flush=True)
            kept.append({"line": line, "result": result})
            if options.json:
                options.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
