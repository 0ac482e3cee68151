#!/usr/bin/env python3
"""Full-size checkpoints, by the library that owns the format and by `flora embed`.

The weights are random (seeded) and lie in a temporary folder until the case is done: up to 1.7 GB on disk, 5 GB in memory.
See README.md for what must be installed.
"""

import gc
import logging
import shutil
import tempfile
from pathlib import Path

from peers import TEXTS, Flora, Report, arguments, opened, write_images, write_texts  # first: it sets the environment

import numpy as np
import open_clip
import torch
from makers.models import features, randomize
from makers.openai import openai_model, save_torchscript
from makers.openclip import with_causal_mask
from makers.vocabulary import read_merges, write_tokenizer
from open_clip.push_to_hf_hub import save_for_hf
from open_clip.tokenizer import HFTokenizer
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

TOLERANCE = 1e-4
# A resized pixel may be one level of 255 off, as flora-clip's tests of the pixels allow; here only that nothing is amiss.
RESIZED_TOLERANCE = 2e-3
SIZES = [(224, 224)] * 6
# The last is cropped by 3 columns, which open_clip and transformers deal out differently.
OTHER_SIZES = [(320, 240), (200, 300), (64, 64), (500, 224), (227, 224)]


class Case:
    """A checkpoint at `path`, and its owner's features of texts and of images."""

    def __init__(self, path, texts, images):
        self.path, self.texts, self.images = path, texts, images


def in_batches(call, rows, size=4):
    return np.concatenate([call(rows[i : i + size]).float().numpy() for i in range(0, len(rows), size)])


def hugging_face(folder, text, vision, projection):
    special = {"bos_token_id": 49406, "pad_token_id": 49407, "eos_token_id": 49407}
    text = {"hidden_act": "quick_gelu", "vocab_size": 49408, "max_position_embeddings": 77, "projection_dim": projection, **special, **text}
    vision = {"hidden_act": "quick_gelu", "image_size": 224, "projection_dim": projection, **vision}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)).eval()
    randomize(model, 11)
    model.save_pretrained(folder)
    tokenizer = write_tokenizer(folder, *read_merges())
    processor = CLIPImageProcessorPil()
    processor.save_pretrained(folder)

    def of_texts(texts):
        ids = tokenizer(texts, truncation=True, max_length=77, padding="max_length", return_tensors="pt")["input_ids"]
        return features(model.get_text_features(input_ids=ids))

    def of_images(images):
        return features(model.get_image_features(pixel_values=torch.from_numpy(np.stack(processor(images)["pixel_values"]))))

    return Case(folder, of_texts, of_images)


def hf_vit_b_32(folder):
    text = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "patch_size": 32}
    return hugging_face(folder, text, vision, 512)


def hf_vit_l_14(folder):
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14}
    return hugging_face(folder, text, vision, 768)


def of_open_clip(path, model, tokenize, transform):
    return Case(
        path,
        lambda texts: model.encode_text(tokenize(texts)),
        lambda images: model.encode_image(torch.stack([transform(image) for image in images])),
    )


def write_hf_tokenizer(folder):
    """The tokenizer that save_for_hf wants, read from files as it would be from the hub."""
    folder.mkdir()
    write_tokenizer(folder, *read_merges()).save_pretrained(folder)
    return HFTokenizer(str(folder))


def open_clip_vit_b_32(folder):
    model, _, transform = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None)
    randomize(model.eval(), 12)
    save_for_hf(model, write_hf_tokenizer(folder.parent / "tokenizer"), open_clip.get_model_config("ViT-B-32"), folder, safe_serialization=True)
    return of_open_clip(folder, model, open_clip.get_tokenizer("ViT-B-32"), transform)


def open_clip_vit_b_32_bin(folder):
    """The same by torch.save, with the causal mask that early releases stored."""
    case = open_clip_vit_b_32(folder)
    safe = folder / "open_clip_model.safetensors"
    torch.save(with_causal_mask(open_clip.factory.load_state_dict(safe), 77), folder / "open_clip_pytorch_model.bin")
    safe.unlink()
    return case


def openai_vit_b_32(folder):
    vision = {"image_size": 224, "patch_size": 32, "width": 768, "layers": 12}
    text = {"context_length": 77, "vocab_size": 49408, "width": 512, "layers": 12}
    path = folder / "ViT-B-32.pt"
    save_torchscript(openai_model(13, 512, vision, text), path)
    model = open_clip.load_openai_model(str(path), precision="fp32", device="cpu")
    transform = open_clip.image_transform(224, is_train=False, mean=model.visual.image_mean, std=model.visual.image_std)
    return of_open_clip(path, model, open_clip.get_tokenizer("ViT-B-32"), transform)


CASES = {
    "hf-vit-b-32": hf_vit_b_32,
    "hf-vit-l-14": hf_vit_l_14,
    "openclip-vit-b-32": open_clip_vit_b_32,
    "openclip-vit-b-32-bin": open_clip_vit_b_32_bin,
    "openai-vit-b-32": openai_vit_b_32,
}


def compare(name, flora, report, scratch):
    report.section(name)
    texts = write_texts(scratch / "texts.txt")
    folders = {"images": (write_images(scratch / "images", SIZES, 300), TOLERANCE)}
    folders["resized images"] = (write_images(scratch / "resized", OTHER_SIZES, 400), RESIZED_TOLERANCE)

    folder = scratch / name
    folder.mkdir()
    case = CASES[name](folder)
    path = case.path
    theirs = {"texts": in_batches(case.texts, TEXTS)}
    theirs |= {what: in_batches(case.images, opened(images)) for what, (images, _) in folders.items()}
    del case
    gc.collect()  # flora is about to load the model, too

    report.embeddings("texts", flora.embed(path, texts=texts), flora.embed(path, texts=texts, raw=True), theirs["texts"], TOLERANCE)
    for what, (images, tolerance) in folders.items():
        ours = [flora.embed(path, images=images, raw=raw) for raw in (False, True)]
        report.embeddings(what, *ours, theirs[what], tolerance)
    report.near("texts again, by way of safetensors", flora.embed(path, texts=texts, suffix=".safetensors"), flora.embed(path, texts=texts), 1e-6)


def main():
    logging.disable(logging.WARNING)  # open_clip's, that models without downloaded weights are random
    only = {"nargs": "+", "choices": list(CASES), "default": list(CASES), "metavar": "CASE", "help": f"of {', '.join(CASES)}"}
    scratch = {"type": Path, "help": "where the checkpoints lie while they are needed (default: a temporary folder)"}
    chosen = arguments(__doc__, only=only, scratch=scratch)
    flora, report = Flora(chosen.flora), Report()
    for name in chosen.only:
        folder = Path(tempfile.mkdtemp(prefix="flora-peers-", dir=chosen.scratch))
        try:
            compare(name, flora, report, folder)
        finally:
            shutil.rmtree(folder)
    report.finish()


if __name__ == "__main__":
    main()
