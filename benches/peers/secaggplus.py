"""SecAgg+: flora's nodes with Flower's own server code.

    cargo build --release -p flora-flower --example secaggplus_node
    pip install flwr==1.42.0
    python secaggplus.py

Runs rounds of `flwr.server.workflow.SecAggPlusWorkflow` in this process. Its messages go, as objects, to one process of
flora's example `secaggplus_node` for each node, or to Flower's own client code for some nodes. Each round's mean is
compared with the mean of what was trained. Ends with 1 if a mean is off by more than the quantisation allows.
"""

import argparse
import base64
import importlib
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "crates/flora-flower/tests/fixtures"))

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from secaggplus_round import CONFIGS, Grid, fitres, run_round, weighted_mean

logging.getLogger("flwr").setLevel(logging.CRITICAL)
mod = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")


class Flora:
    """A node of flora's, in a process of its own."""

    def __init__(self, program, node, trained, examples):
        self.process = subprocess.Popen(
            [program, str(node)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.trained = [[list(it.shape), it.ravel().tolist()] for it in trained]
        self.examples, self.state, self.masked = examples, 0, 0

    def answer(self, message):
        objects = {key: it.deflate() for key, it in get_all_nested_objects(message).items()}
        texts = {key: base64.b64encode(it).decode() for key, it in objects.items()}
        line = {"root": message.object_id, "objects": texts, "trained": self.trained, "num_examples": self.examples}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if "error" in reply:
            raise RuntimeError(reply["error"])
        self.state = max(self.state, reply["bytes"])
        contents = {key: base64.b64decode(it) for key, it in reply["objects"].items()}
        content = inflate_object_from_contents(reply["root"], contents).content
        arrays = content.config_records[CONFIGS].get("masked_params", [])
        self.masked = max(self.masked, sum(map(len, arrays)))
        return content

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Flower:
    """Flower's own client code."""

    def __init__(self, node, trained, examples):
        self.context = Context(1, node, {}, RecordDict(), {})
        self.trained, self.examples, self.masked = trained, examples, 0

    def answer(self, message):
        def train(message, _):
            return Message(fitres(self.trained, self.examples, {"loss": 0.5}), reply_to=message)

        # The mod takes the stage out of the record, which is the server's.
        records = dict(message.content.items())
        records[CONFIGS] = type(records[CONFIGS])(dict(records[CONFIGS].items()))
        told = message.metadata
        copy = Message(RecordDict(records), dst_node_id=told.dst_node_id, message_type="train", group_id=told.group_id)
        content = mod.secaggplus_mod(copy, self.context, train).content
        arrays = content.config_records[CONFIGS].get("masked_params", [])
        self.masked = max(self.masked, sum(map(len, arrays)))
        return content

    def close(self):
        pass


def round_of(program, name, flora, flower, shapes, lost=(), scale=1.0, examples=None, **workflow):
    """One round; returns whether all is well."""
    rng = np.random.default_rng(7)
    nodes = [int(it) for it in rng.integers(1, 2**64 - 1, flora + flower, dtype=np.uint64)]
    examples = examples or [int(it) for it in rng.integers(50, 1000, len(nodes))]
    trained = {
        node: ([rng.normal(0, scale, shape).astype(np.float32) for shape in shapes], many)
        for node, many in zip(nodes, examples)
    }
    clients = {node: Flora(program, node, *trained[node]) for node in nodes[:flora]}
    clients |= {node: Flower(node, *trained[node]) for node in nodes[flora:]}
    lost = [(nodes[place], stage) for place, stage in lost]
    grid = Grid(lambda message: clients[message.metadata.dst_node_id].answer(message), lost)
    start = [np.zeros(shape, np.float32) for shape in shapes]
    before = time.perf_counter()
    mean, results = run_round(grid, nodes, start, {"lr": 0.1}, **workflow)
    seconds = time.perf_counter() - before
    for client in clients.values():
        client.close()
    problems = [str(error) for node, stage, error in grid.errors if (node, stage) not in lost]
    if mean is None or problems:
        print(f"{name}: {len(results)} of {len(nodes)} nodes; {problems[0] if problems else 'the workflow stopped'}")
        return False, problems
    there = [it for node, it in trained.items() if node not in {node for node, _ in lost}]
    exact = weighted_mean(there)
    off = max(float(np.abs(a - b).max()) for a, b in zip(mean, exact))
    # A step of the sum is that of one node; the weight is rounded, too.
    clip, target = workflow.get("clipping_range", 8.0), workflow.get("quantization_range", 2**22)
    step = 2 * clip / target * workflow.get("max_weight", 1000.0) / sum(many for _, many in there)
    bound = len(there) * step + 1e-5 * max(float(np.abs(it).max()) for it in exact)
    sizes = {type(it).__name__: it.masked for it in clients.values() if it.masked}
    numbers = sum(int(np.prod(shape)) for shape in shapes)
    print(
        f"{name}: {len(results)} of {len(nodes)} nodes, {numbers} numbers, off by {off:.2e} (step {step:.2e}, bound "
        f"{bound:.2e}), bytes sent {sizes}, state {max((getattr(it, 'state', 0) for it in clients.values()))} bytes, "
        f"{seconds:.1f} s"
    )
    return off <= bound and len(results) == len(there), problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", default=ROOT / "target/release/examples/secaggplus_node", type=Path)
    program = parser.parse_args().node
    adapter = [(4, 512), (512, 4)] * 6
    collect = "collect_masked_vectors"
    three = {"num_shares": 3, "reconstruction_threshold": 2}
    cases = [
        ("four of flora's", 4, 0, adapter, {} | three),
        ("one lost while it trains", 4, 0, adapter, {"lost": [(1, collect)]} | three),
        ("two and two of Flower's", 2, 2, adapter, {} | three),
        ("the same, one of flora's lost", 2, 2, adapter, {"lost": [(0, collect)]} | three),
        ("the same, one of Flower's lost", 2, 2, adapter, {"lost": [(3, collect)]} | three),
        (
            "nine, all neighbours, three lost",
            9,
            0,
            [(3, 5), (7,), (2, 1, 4)],
            {"lost": [(0, collect), (4, collect), (8, collect)], "num_shares": 1.0, "reconstruction_threshold": 0.5},
        ),
        (
            "other settings",
            3,
            2,
            [(40, 30), (1,)],
            {"num_shares": 5, "reconstruction_threshold": 3, "clipping_range": 20.0, "quantization_range": 2**20}
            | {"modulus_range": 2**26, "max_weight": 5000.0},
        ),
    ]
    good = True
    for name, flora, flower, shapes, options in cases:
        good &= round_of(program, name, flora, flower, shapes, **options)[0]
    # What Flower's own clients do without a word.
    for name, options, word in (
        ("values beyond the range", {"scale": 40.0}, "raise clipping_range"),
        ("more examples than max_weight", {"examples": [100, 200, 300, 2000]}, "`max_weight`"),
        ("an even num_shares of 5 nodes", {"num_shares": 4, "examples": [100] * 5}, "odd num_shares"),
    ):
        _, problems = round_of(program, name, len(options.get("examples", "1234")), 0, [(3, 4)], **(three | options))
        good &= any(word in problem for problem in problems)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
