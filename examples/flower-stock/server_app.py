"""Flower's own strategies, unchanged, drive flora nodes. The nodes have images and model; the experiment comes with each message."""

from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy.strategy_utils import sample_nodes

app = ServerApp()


def make_strategy(run: dict, nodes: int) -> flower.Strategy:
    args = {"min_train_nodes": nodes, "min_evaluate_nodes": nodes, "min_available_nodes": nodes}
    noise, clip = run["noise-multiplier"], run["clipping-norm"]
    strategies = {
        "fedavg": lambda: flower.FedAvg(**args),
        "fedprox": lambda: flower.FedProx(proximal_mu=run["proximal-mu"], **args),
        "fedadam": lambda: flower.FedAdam(eta=run["eta"], **args),
        "dp-server-fixed": lambda: flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(**args), noise, clip, nodes),
        "dp-client-fixed": lambda: flower.DifferentialPrivacyClientSideFixedClipping(flower.FedAvg(**args), noise, clip, nodes),
        "dp-server-adaptive": lambda: flower.DifferentialPrivacyServerSideAdaptiveClipping(flower.FedAvg(**args), noise, nodes, clip),
        "dp-client-adaptive": lambda: flower.DifferentialPrivacyClientSideAdaptiveClipping(flower.FedAvg(**args), noise, nodes, clip),
    }
    if run["strategy"] not in strategies:
        raise ValueError(f"strategy = {run['strategy']!r} is not one of {', '.join(strategies)}")
    return strategies[run["strategy"]]()


@app.main()
def main(grid: Grid, context: Context) -> None:
    run = context.run_config
    experiment = {"experiment": Path(__file__).with_name("experiment.toml").read_text()}
    strategy = make_strategy(run, run["nodes"])  # before any node is asked: a wrong setting ends the run at once

    # All nodes begin with the same adapters, drawn from the experiment's seed; any one of them can say which.
    (node,), _ = sample_nodes(grid, run["nodes"], 1)
    ask = Message(RecordDict({"config": ConfigRecord(experiment)}), dst_node_id=node, message_type="query.initial")
    (answer,) = grid.send_and_receive([ask], timeout=600)
    if answer.has_error():
        raise RuntimeError(f"node {node} has no initial parameters: {answer.error.reason}")

    # Two records: strategies write into them, and what FedProx adds is for training only.
    train, evaluate = ConfigRecord(experiment), ConfigRecord(experiment)
    result = strategy.start(grid, answer.content["arrays"], run["num-rounds"], train_config=train, evaluate_config=evaluate)
    if run["save-to"]:
        np.savez(run["save-to"], **{name: array.numpy() for name, array in result.arrays.items()})
