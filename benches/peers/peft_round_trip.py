#!/usr/bin/env python3
"""Adapters between flora and PEFT, and merged exports, on models/clip-nano. See README.md for what must be installed."""

import tempfile
from pathlib import Path

from peers import ROOT, TEXTS, Flora, Report, arguments, logits, opened, write_images, write_texts  # first: it sets the environment

import numpy as np
import open_clip
import torch
from makers.models import features
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

BASE = ROOT / "models/clip-nano"
TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-3  # f16 keeps 11 bits; 2e-5 was measured
REGEX = r"(text|vision)_model\.encoder\.layers\.[0-2]\.self_attn\.(q|v)_proj"

# Made by PEFT, read by flora.
ADAPTERS = {
    "list, both towers": {"r": 4, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj", "fc1"]},
    "regex": {"r": 3, "lora_alpha": 6, "target_modules": REGEX},
    "rslora": {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": ["out_proj", "fc2"]},
    "ranks and alphas by layer": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"layers.0.self_attn.q_proj": 2, r"layers\.[23]\..*v_proj": 8},
        "alpha_pattern": {r"vision_model\..*": 3},
    },
    "r 8, alpha 16, dropout": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["k_proj", "out_proj"]},
    "projections": {"r": 2, "lora_alpha": 5, "target_modules": ["text_projection", "visual_projection"]},
    "DoRA": {"use_dora": True, "target_modules": ["q_proj", "fc2"]},
    "bias": {"bias": "lora_only"},
    "modules_to_save": {"modules_to_save": ["text_projection", "layer_norm1"]},
    "some layers": {"layers_to_transform": [0, 2]},
}
# Made by PEFT, refused by flora with the option's name in the message.
REFUSED = {
    "trainable_token_indices": {"trainable_token_indices": {"token_embedding": [5, 6]}},
}
# What comes out of strategies whose result is of another rank than the clients': ten clients, some of ranks of their own.
RANKS = "[2, 4, 8, 2, 4, 8, 2, 4, 8, 2]"
STRATEGIES = {
    "fedex": ("fedex", 2),
    "fed-sb": ("fed-sb", 4),
    "flexlora, ranks 2, 4 and 8": (f'{{ kind = "flexlora", ranks = {RANKS} }}', 8),
    "stacking, ranks 2, 4 and 8": (f'{{ kind = "stacking", ranks = {RANKS} }}', 8),
    "hetlora, ranks 2, 4 and 8": (f'{{ kind = "hetlora", ranks = {RANKS} }}', 8),
}


class Inputs:
    """The same texts and images as files for flora and as tensors for the others."""

    def __init__(self, scratch):
        processor = CLIPImageProcessorPil.from_pretrained(BASE)
        tokenizer = CLIPTokenizer(vocab=str(BASE / "vocab.json"), merges=str(BASE / "merges.txt"))
        config = CLIPModel.config_class.from_pretrained(BASE).text_config
        side, length = processor.crop_size["height"], config.max_position_embeddings
        self.texts = write_texts(scratch / "texts.txt")
        self.images = write_images(scratch / "images", [(side, side)] * 6, 500)  # need no resizing
        encoded = tokenizer(TEXTS, truncation=True, max_length=length, padding="max_length", return_tensors="pt")
        self.ids = encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, config.eos_token_id)
        self.ids_open_clip = encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, 0)
        self.pixels = torch.from_numpy(np.stack(processor(opened(self.images))["pixel_values"]))


class Outputs:
    """Raw features of the texts and the images, and the logits [images, texts]."""

    def __init__(self, texts, images, logits):
        self.texts, self.images, self.logits = np.asarray(texts), np.asarray(images), np.asarray(logits)


def base_model():
    """In f32: the folder's weights are f16, and transformers 5 would compute in what it finds."""
    return CLIPModel.from_pretrained(BASE, dtype=torch.float32).eval()


def by_transformers(model, inputs):
    both = model(input_ids=inputs.ids, pixel_values=inputs.pixels)
    texts, images = model.get_text_features(input_ids=inputs.ids), model.get_image_features(pixel_values=inputs.pixels)
    return Outputs(features(texts), features(images), both.logits_per_image)


def by_open_clip(model, inputs):
    return Outputs(
        model.encode_text(inputs.ids_open_clip),
        model.encode_image(inputs.pixels),
        model.get_logits(inputs.pixels, inputs.ids_open_clip)[0],
    )


def compare_flora(what, flora, report, inputs, theirs, model, adapter=None):
    """`flora embed` against the features and logits of another."""
    raw = {}
    for kind, options in (("texts", {"texts": inputs.texts}), ("images", {"images": inputs.images})):
        ours = flora.embed(model, adapter=adapter, **options)
        raw[kind] = flora.embed(model, adapter=adapter, raw=True, **options)
        report.embeddings(f"{what}: {kind}", ours, raw[kind], getattr(theirs, kind), TOLERANCE)
    ours = logits(raw["images"], raw["texts"], base_model().logit_scale)
    report.near(f"{what}: logits", ours, theirs.logits, TOLERANCE)


def compare_outputs(what, report, ours, theirs, tolerance):
    for kind in ("texts", "images"):
        norms = np.linalg.norm(getattr(theirs, kind), axis=1, keepdims=True)
        report.near(f"{what}: {kind} by the row's norm", getattr(ours, kind) / norms, getattr(theirs, kind) / norms, tolerance)
    scale = 1.0 if tolerance == TOLERANCE else float(base_model().logit_scale.exp())
    report.near(f"{what}: logits", ours.logits, theirs.logits, tolerance * scale)


def peft_adapter(folder, seed, options):
    """An adapter by PEFT with B away from zero, saved; and its model."""
    torch.manual_seed(seed)
    model = get_peft_model(base_model(), LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], **options})).eval()
    for name, parameter in sorted(model.named_parameters()):
        if "lora_B" in name:
            parameter.copy_(0.1 * torch.randn(parameter.shape) / parameter.shape[1] ** 0.5)
        elif parameter.requires_grad and "lora_" not in name:
            parameter.add_(0.02 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    return model


def train(flora, out, *settings):
    """Some rounds of the quick start, and the adapter that it leaves."""
    sets = [option for setting in settings for option in ("--set", setting)]
    flora.run("run", "quickstart", *sets, "--out", out)
    adapter = out / "adapter"
    b = [tensor.abs().max() for name, tensor in load_file(adapter / "adapter_model.safetensors").items() if "lora_B" in name]
    assert b and min(b) > 0, "the training moved nothing"
    return adapter


def changes(report, what, theirs, plain):
    """An adapter that does nothing would agree, whatever was read."""
    moved = np.abs(theirs.logits - plain.logits).max()
    report.check(f"{what}: the adapter moves the logits", bool(moved > 10 * TOLERANCE), f"{moved:.1e}")


def flora_to_peft(flora, report, inputs, plain, adapter):
    report.section("flora -> PEFT: an adapter that flora trained, loaded by peft.PeftModel.from_pretrained")
    model = PeftModel.from_pretrained(base_model(), adapter).eval()
    theirs = by_transformers(model.get_base_model(), inputs)
    changes(report, "trained", theirs, plain)
    compare_flora("trained", flora, report, inputs, theirs, BASE, adapter)


def strategies_to_peft(flora, report, inputs, plain, scratch):
    report.section("flora -> PEFT: what is left of strategies that know LoRA, of the global model and of a client")
    for i, (name, (strategy, rank)) in enumerate(STRATEGIES.items()):
        adapter = train(
            flora, scratch / f"strategy-{i}", f"federation.strategy={strategy}", f"method.lora.r={rank}", "training.rounds=2",
            'partition={ kind = "iid", clients = 10 }', "training.learning_rate=0.005", "output.keep_clients=true",
        )
        for whose, folder in ((name, adapter), (f"{name}: client-00", adapter.parent / "clients/client-00/adapter")):
            theirs = by_transformers(PeftModel.from_pretrained(base_model(), folder).eval().get_base_model(), inputs)
            changes(report, whose, theirs, plain)
            compare_flora(whose, flora, report, inputs, theirs, BASE, folder)


def peft_to_flora(flora, report, inputs, plain, scratch):
    report.section("PEFT -> flora: adapters that PEFT made, read by flora")
    adapters = {}
    for i, (name, options) in enumerate(ADAPTERS.items()):
        adapters[name] = scratch / f"peft-{i}"
        theirs = by_transformers(peft_adapter(adapters[name], 20 + i, options).get_base_model(), inputs)
        changes(report, name, theirs, plain)
        compare_flora(name, flora, report, inputs, theirs, BASE, adapters[name])
    for i, (option, options) in enumerate(REFUSED.items()):
        folder = scratch / f"refused-{i}"
        peft_adapter(folder, 40 + i, options)
        done = flora.attempt("embed", "--model", BASE, "--adapter", folder, "--texts", inputs.texts, "--out", scratch / f"refused-{i}.npy")
        clear = done.returncode != 0 and option in done.stderr and "panicked" not in done.stderr
        report.check(f"{option} is refused by name", clear, done.stderr.strip().split("\n")[-1][:80])
    return adapters


def check_dtype(what, report, path, dtype):
    """Weights of that type, and none that some reader would trip over."""
    types = {tensor.dtype for name, tensor in load_file(path).items() if "position_ids" not in name}
    report.check(f"{what}: {path.name} is {dtype}", types == {dtype}, ", ".join(map(str, types)))


def merged_exports(flora, report, inputs, name, adapter, scratch):
    report.section(f"flora export --merged, of the adapter '{name}', against PEFT's merge_and_unload")
    merged = PeftModel.from_pretrained(base_model(), adapter).merge_and_unload().eval()
    theirs = by_transformers(merged, inputs)

    for dtype, tolerance in ((torch.float32, TOLERANCE), (torch.float16, HALF_TOLERANCE)):
        short = {torch.float32: "f32", torch.float16: "f16"}[dtype]
        out = {layout: scratch / f"export-{layout}-{short}" for layout in ("hf", "openclip")}
        for layout, folder in out.items():
            options = ["--layout", layout] if layout != "hf" else []  # the default
            flora.run("export", "--model", BASE, "--adapter", adapter, "--merged", "--dtype", short, "--out", folder, *options)

        what = f"hf {short}"
        check_dtype(what, report, out["hf"] / "model.safetensors", dtype)
        model = CLIPModel.from_pretrained(out["hf"], dtype=torch.float32).eval()
        state, wanted = model.state_dict(), merged.state_dict()
        report.check(f"{what}: the same names", state.keys() == wanted.keys(), f"{len(state)} tensors")
        largest = max((state[key] - wanted[key]).abs().max().item() for key in state.keys() & wanted.keys())
        report.near(f"{what}: weights", largest, 0.0, 1e-5 if dtype == torch.float32 else 1e-3)
        compare_outputs(what, report, by_transformers(model, inputs), theirs, tolerance)
        if dtype == torch.float32:
            compare_flora(f"{what}, read by flora again", flora, report, inputs, theirs, out["hf"])

        what = f"openclip {short}"
        check_dtype(what, report, out["openclip"] / "open_clip_model.safetensors", dtype)
        model, transform = open_clip.create_model_from_pretrained(f"local-dir:{out['openclip']}")
        pixels = torch.stack([transform(image) for image in opened(inputs.images)])
        report.near(f"{what}: pixels by the exported preprocess_cfg", pixels, inputs.pixels, 1e-5)
        compare_outputs(what, report, by_open_clip(model.eval(), inputs), theirs, tolerance)
        if dtype == torch.float32:
            compare_flora(f"{what}, read by flora again", flora, report, inputs, theirs, out["openclip"])


def main():
    chosen = arguments(__doc__)
    flora, report = Flora(chosen.flora), Report()
    with tempfile.TemporaryDirectory(prefix="flora-peers-") as temporary:
        scratch = Path(temporary)
        inputs = Inputs(scratch)
        report.section("models/clip-nano without an adapter, by transformers and by flora")
        plain = by_transformers(base_model(), inputs)
        compare_flora("plain", flora, report, inputs, plain, BASE)
        trained = train(flora, scratch / "run", "training.rounds=1")
        flora_to_peft(flora, report, inputs, plain, trained)
        strategies_to_peft(flora, report, inputs, plain, scratch)
        adapters = peft_to_flora(flora, report, inputs, plain, scratch)
        merged_exports(flora, report, inputs, "list, both towers", adapters["list, both towers"], scratch)
    report.finish()


if __name__ == "__main__":
    main()
