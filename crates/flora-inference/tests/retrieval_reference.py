"""Recalls of retrieval with several captions an image, for the test in src/retrieve.rs.

`recall_at_k` is that of CLIP_benchmark (clip_benchmark/metrics/zeroshot_retrieval.py, MIT licence), with NumPy
in the place of torch. Writes retrieval_reference.json beside this file.
"""

import json
from pathlib import Path

import numpy as np


def recall_at_k(scores, positive_pairs, k):
    nb_texts, nb_images = scores.shape
    topk_indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    nb_positive = positive_pairs.sum(axis=1)
    topk_indices_onehot = np.eye(nb_images, dtype=bool)[topk_indices]
    positive_pairs_reshaped = positive_pairs.reshape(nb_texts, 1, nb_images)
    nb_true_positive = (topk_indices_onehot * positive_pairs_reshaped).sum(axis=(1, 2))
    return nb_true_positive / nb_positive


rng = np.random.default_rng(7)
images = 24
own, image_of = [], []
for image in range(images):
    count = int(rng.integers(1, 6))
    own.append(list(range(len(image_of), len(image_of) + count)))
    image_of += [image] * count
texts = len(image_of)
scores = rng.normal(size=(texts, images)).astype(np.float32)
positive = np.zeros((texts, images), dtype=bool)
positive[np.arange(texts), image_of] = True
scores[positive] += np.float32(1.2)
scores = np.round(scores, 5)
rows = [*scores, *scores.T]
assert all(len(np.unique(row)) == len(row) for row in rows), "equal similarities are ranked otherwise"
ks = [1, 5, 10]
result = {
    "texts": texts,
    "own": own,
    "similarities": [round(float(value), 5) for value in scores.T.reshape(-1)],
    "image_to_text": [float((recall_at_k(scores.T, positive.T, k) > 0).mean()) for k in ks],
    "text_to_image": [float((recall_at_k(scores, positive, k) > 0).mean()) for k in ks],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
print(result["image_to_text"], result["text_to_image"])
