#!/usr/bin/env python3
"""Makes an evaluation set of the stamps of Tux Paint, from Debian's package tuxpaint-stamps-default. See README.md.

Needs Pillow.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from PIL import Image

STAMPS = Path("usr/share/tuxpaint/stamps")
TEMPLATE = "a picture of a {}."
# The top folders with nine photos or more, each by its own name in the singular, as near as a noun goes. `symbols` (letters, digits,
# coins) shows no things; `military`, `medical`, `people` and `naturalforces` have eight photos at most.
CLASSES = {
    "animals": "animal",
    "clothes": "clothes",
    "food": "food",
    "hobbies": "hobby",
    "household": "household object",
    "plants": "plant",
    "seasonal": "holiday",
    "space": "space",
    "sports": "sport",
    "town": "town",
    "vehicles": "vehicle",
}


def is_wanted(path, drawings):
    """Whether the stamp is one to evaluate on: no mirrored copy, and no drawing unless those are asked for."""
    if path.stem.endswith(("_mirror", "_flip", "_mirror_flip")):
        return False
    # A drawing lies in a folder of that name, or is the rendering of the SVG beside it.
    return drawings or not ("cartoon" in path.parts or path.with_suffix(".svg").exists())


def sentence(path):
    """What the stamp shows, in English: the first line of its text; translations follow."""
    text = path.with_suffix(".txt")
    try:
        line = text.read_bytes().partition(b"\n")[0].decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{text}: {error}")
    if not line:
        sys.exit(f"{text}: its first line, which should be English, is empty")
    return line


def find(stamps, drawings):
    """Category and path below `stamps` of every stamp to evaluate on, in order."""
    found = []
    for category in CLASSES:
        paths = sorted((stamps / category).rglob("*.png"))
        found += [(category, path.relative_to(stamps)) for path in paths if is_wanted(path, drawings)]
    return found


def square(path):
    """The stamp in the middle of a white square: the centre crop of a CLIP cuts nothing off, and no CLIP sees what transparency hides."""
    stamp = Image.open(path).convert("RGBA")
    side = max(stamp.size)
    canvas = Image.new("RGB", (side, side), "white")
    canvas.paste(stamp, ((side - stamp.width) // 2, (side - stamp.height) // 2), mask=stamp)
    return canvas


def description(categories):
    """The TOML that flora reads."""
    lines = [
        'name = "tuxpaint"',
        'title = "Stamps of Tux Paint"',
        f'template = "{TEMPLATE}"',
        'license = "GPL-2.0-only; for evaluation, not to be passed on with flora"',
        'source = "Debian package tuxpaint-stamps-default"',
        "",
        "[layout]",
        'kind = "image-folder"',
        'pattern = "{class}"',
    ]
    for category in categories:
        lines += ["", "[[classes]]", f'folder = "{category}"', f'name = "{CLASSES[category]}"']
    return "".join(f"{line}\n" for line in lines)


def write(stamps, found, out):
    """Writes the pictures, and metadata.jsonl and dataset.toml beside their folders."""
    rows = []
    for category, path in found:
        # The folders below the category are kept in the name: two of them may hold a `fly.png`.
        file = Path(category, "-".join(path.parts[1:]))
        (out / category).mkdir(parents=True, exist_ok=True)
        square(stamps / path).save(out / file)
        row = {"file": file.as_posix(), "category": category, "text": sentence(stamps / path), "stamp": path.as_posix()}
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    (out / "metadata.jsonl").write_text("".join(rows), encoding="utf-8")
    (out / "dataset.toml").write_text(description(dict(found)), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the folder that the package was unpacked into")
    parser.add_argument("out", type=Path, help="the folder to write; must be new or empty")
    parser.add_argument("--drawings", action="store_true", help="take the drawn stamps, too")
    chosen = parser.parse_args()

    stamps = chosen.package / STAMPS
    found = find(stamps, chosen.drawings)
    if not found:
        sys.exit(f"{stamps}: no stamps here; unpack tuxpaint-stamps-default with `dpkg -x` and name that folder")
    if chosen.out.exists() and any(chosen.out.iterdir()):
        sys.exit(f"{chosen.out}: not empty; stamps of another choice might stay behind")
    write(stamps, found, chosen.out)

    counts = Counter(category for category, _ in found)
    for category, count in counts.most_common():
        print(f"{count:>4}  {category} ({CLASSES[category]})")
    majority = max(counts.values()) / len(found)
    print(f"{len(found):>4}  in {len(counts)} categories; majority {majority:.1%}, chance {1 / len(counts):.1%}")


if __name__ == "__main__":
    main()
