"""The order in which torchvision's ImageFolder reads the files of the test in src/images/walk.rs.

Run with torchvision 0.29; prints the list that the test expects.
"""

import tempfile
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

FILES = [
    "z.png", "a.jpg", "b/1.png", "a b/3.PNG", "a/2.png", "a/c/9.ppm", "a/c-d/8.png", "B/0.png",
    "notes.txt",
]
with tempfile.TemporaryDirectory() as root:
    for name in FILES:
        path = Path(root, "class", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = make_dataset(root, {"class": 0}, IMG_EXTENSIONS)
    print([path.removeprefix(f"{root}/class/") for path, _ in found])
