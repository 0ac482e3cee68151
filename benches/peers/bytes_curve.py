#!/usr/bin/env python3
"""Accuracy against bytes up, one point a codec: docs/figures/bytes.png from the results of `flora sweep examples/bytes.toml`.

    pip install matplotlib
    benches/peers/bytes_curve.py runs/sweeps/bytes/results.csv docs/figures/bytes.png
"""

import csv
import sys
from statistics import mean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FAMILIES = {"f32": "o", "f16": "o", "int8": "s", "int4": "s", "eden": "^", "top-k": "v", "ternary": "D"}


def main(results, out):
    runs = {}
    for row in csv.DictReader(open(results, encoding="utf-8")):
        # A line for each client repeats what holds for the run.
        runs[row["axis.data"], row["axis.upload"], row["data_seed"], row["seed"]] = row
    datas = list(dict.fromkeys(key[0] for key in runs))
    codecs = [name for name in dict.fromkeys(key[1] for key in runs) if "down" not in name]
    figure, axes = plt.subplots(1, len(datas), figsize=(11, 4.6), layout="constrained")
    for axis, data in zip(axes, datas):
        for codec in codecs:
            rows = [row for key, row in runs.items() if key[:2] == (data, codec)]
            bytes_up = mean(float(row["bytes_up_per_client_and_round"]) for row in rows)
            accuracy = 100 * mean(float(row["mean_accuracy_global_last"]) for row in rows)
            family = codec.split(",")[0]
            filled = "no feedback" not in codec
            axis.plot(bytes_up, accuracy, FAMILIES[family], color="C%d" % list(FAMILIES).index(family),
                      markerfacecolor=None if filled else "white", markersize=7)
            axis.annotate(codec.replace("no feedback", "no f."), (bytes_up, accuracy), fontsize=7, rotation=40, xytext=(3, 5), textcoords="offset points")
        axis.set_xscale("log")
        axis.set_title(data, fontsize=10)
        axis.set_xlabel("bytes up, a client and round")
        axis.set_ylabel("accuracy after ten rounds, %")
        axis.grid(alpha=0.3)
        axis.margins(x=0.12, y=0.18)
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
