"""CLIPs of well-known shapes with random weights, LoRA by hand, and the contrastive loss: what the peers are built of."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPConfig, CLIPModel

# The FLoRA paper's: rank, factor (not divided by the rank) and optimizer, which has coupled L2.
RANK = 2
ALPHA = 32.0
ADAM = {"lr": 5e-5, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.2}

SMALL_TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
BASE_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
LARGE_VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
# By name: text tower, vision tower, width of the space that they share.
SHAPES = {
    "vit-b-32": (SMALL_TEXT, {**BASE_VISION, "patch_size": 32}, 512),
    "vit-b-16": (SMALL_TEXT, {**BASE_VISION, "patch_size": 16}, 512),
    "vit-l-14": (LARGE_TEXT, {**LARGE_VISION, "patch_size": 14}, 768),
}


def configuration(model):
    """That of a shape's name, or of a folder in Hugging Face's layout."""
    if model not in SHAPES:
        return CLIPConfig.from_dict(json.loads((Path(model) / "config.json").read_text(encoding="utf-8")))
    text, vision, projection = SHAPES[model]
    special = {"bos_token_id": 49406, "pad_token_id": 49407, "eos_token_id": 49407}
    text = {"hidden_act": "quick_gelu", "vocab_size": 49408, "max_position_embeddings": 77, "projection_dim": projection, **special, **text}
    vision = {"hidden_act": "quick_gelu", "image_size": 224, "projection_dim": projection, **vision}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)


def parameters_of(model):
    """Numbers in it."""
    with torch.device("meta"):
        return CLIPModel(configuration(model)).num_parameters()


def trained_by(workload, model):
    """Numbers that a training step changes: flora's, from the shape alone."""
    if workload == "full-step":
        return parameters_of(model) - 1
    texts = configuration(model).text_config
    return texts.num_hidden_layers * 2 * RANK * texts.hidden_size


def random_clip(model, seed=0):
    """A CLIP as transformers draws its weights, all of them frozen. Attention is SDPA's, the default."""
    torch.manual_seed(seed)
    clip = CLIPModel(configuration(model)).float().eval()
    assert clip.config._attn_implementation == "sdpa", clip.config._attn_implementation
    return clip.requires_grad_(False)


class Adapted(nn.Module):
    """`y = x W + b + alpha (x A) B`, W and b frozen, A drawn from N(0, 1 / rank) and B zero."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.a = nn.Parameter(torch.randn(linear.in_features, RANK) / RANK**0.5)
        self.b = nn.Parameter(torch.zeros(RANK, linear.out_features))

    def forward(self, x):
        return self.linear(x) + ALPHA * (x @ self.a @ self.b)


def adapt_texts(clip):
    """Puts an adapter on every output projection of the text tower's attention; gives what is trained."""
    layers = [layer.self_attn for layer in clip.text_model.encoder.layers]
    for attention in layers:
        attention.out_proj = Adapted(attention.out_proj)
    return [weight for attention in layers for weight in (attention.out_proj.a, attention.out_proj.b)]


def train_all(clip):
    """Everything but the temperature is trained; gives it."""
    clip.requires_grad_(True).logit_scale.requires_grad_(False)
    return [weight for weight in clip.parameters() if weight.requires_grad]


def image_features(clip, pixels):
    return clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)


def text_features(clip, ids):
    return clip.text_projection(clip.text_model(input_ids=ids).pooler_output)


def contrastive(images, texts, factor):
    """CLIP's loss: symmetric cross-entropy of the scaled cosine similarities within the batch."""
    logits = factor * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).t()
    places = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, places) + F.cross_entropy(logits.t(), places)) / 2
