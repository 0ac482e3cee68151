"""Pictures in formats that people have, and what Pillow's `convert("RGB")` makes of each.

Run with Pillow 13 in this folder. Writes the pictures and, for each, `<name>.rgb`: width and height as two
little-endian u32, then the pixels.
"""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
W, H = 13, 9
y, x = np.mgrid[0:H, 0:W]
RGB = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x * 7 + y * 31) % 256], -1).astype(np.uint8)
colour = Image.fromarray(RGB)
grey = colour.convert("L")
bits = Image.fromarray(((x + y) % 3 == 0).astype(np.uint8) * 255).convert("1")


def write(name, data):
    (HERE / name).write_bytes(data)


def save(name, image, **options):
    image.save(HERE / name, **options)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# Netpbm: binary, plain, few levels and many.
save("colour.ppm", colour)
save("grey.pgm", grey)
save("bits.pbm", bits)
plain = "\n".join(" ".join(map(str, row)) for row in RGB.reshape(H, -1))
write("plain.ppm", f"P3\n# a comment\n{W} {H}\n255\n{plain}\n".encode())
write("plain.pgm", f"P2 {W} {H} 15\n{' '.join(str(v) for v in ((x + y) % 16).reshape(-1))}\n".encode())
write("plain.pbm", f"P1\n{W} {H}\n{' '.join(str(v) for v in ((x + y) % 2).reshape(-1))}\n".encode())
write("levels15.pgm", f"P5 {W} {H} 15\n".encode() + ((x * y) % 16).astype(np.uint8).tobytes())
write("levels100.ppm", f"P6 {W} {H} 100\n".encode() + (RGB % 101).tobytes())
wide = RGB.astype(np.uint16) * 257 - (RGB > 9) * 131
write("levels65535.ppm", f"P6 {W} {H} 65535\n".encode() + wide.astype(">u2").tobytes())
write("levels1000.pnm", f"P6 {W} {H} 1000\n".encode() + (wide % 1001).astype(">u2").tobytes())
# Other names of JPEG, and names that lie.
save("other.jfif", colour, format="JPEG", quality=90)
save("other.jpe", colour.convert("L"), format="JPEG", quality=90)
write("jpeg-inside.png", encoded(colour, "JPEG", quality=90))
write("png-inside.jpg", encoded(colour, "PNG"))
write("ppm-inside.jpg", encoded(colour, "PPM"))
save("cmyk.jpg", colour.convert("CMYK"), quality=90)
# Several frames: the first counts.
second = Image.fromarray(255 - RGB)
save("animated.gif", colour.convert("P"), save_all=True, append_images=[second.convert("P")])
save("animated.png", colour, save_all=True, append_images=[second])
save("animated.webp", colour, save_all=True, append_images=[second], lossless=True)
save("pages.tiff", colour, save_all=True, append_images=[second])
# TIFF as scanners and cameras have it.
save("cmyk.tiff", colour.convert("CMYK"))
save("bits.tif", bits, compression="group4")
save("packbits.tif", colour, compression="packbits")
save("jpeg.tif", colour, compression="jpeg", quality=90)
save("palette.tif", colour.convert("P", palette=Image.Palette.ADAPTIVE))
# BMP with an alpha channel, and with few colours.
save("bits.bmp", bits)

for path in sorted(HERE.iterdir()):
    if path.suffix in {".py", ".rgb"}:
        continue
    with Image.open(path) as image:
        pixels = image.convert("RGB")
        print(path.name, image.format, image.mode, pixels.size)
        head = struct.pack("<II", *pixels.size)
        path.with_name(path.name + ".rgb").write_bytes(head + pixels.tobytes())
