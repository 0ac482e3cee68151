"""Flower's own strategies, unchanged, drive flora nodes. The nodes have images and model; the experiment comes with each message."""

from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server import strategy as older
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy.strategy_utils import sample_nodes

app = ServerApp()


def make_strategy(run: dict, nodes: int) -> flower.Strategy | None:
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
    if run["strategy"] == "secaggplus":
        return None
    if run["strategy"] not in strategies:
        raise ValueError(f"strategy = {run['strategy']!r} is not one of {', '.join(strategies)}")
    return strategies[run["strategy"]]()


def under_masks(grid: Grid, context: Context, arrays: dict, experiment: dict) -> dict:
    """Flower's SecAgg+, which is a workflow of its older interface: arrays have no names there, and nobody is asked to evaluate."""
    run = context.run_config
    averaging = older.FedAvg(
        min_fit_clients=run["nodes"], min_available_clients=run["nodes"], fraction_evaluate=0.0,
        initial_parameters=ndarrays_to_parameters(list(arrays.values())), on_fit_config_fn=lambda _: experiment,
    )
    context = LegacyContext(context, ServerConfig(num_rounds=run["num-rounds"]), averaging)
    masks = SecAggPlusWorkflow(run["num-shares"], run["threshold"], max_weight=run["max-weight"], timeout=run["timeout"])
    DefaultWorkflow(fit_workflow=masks)(grid, context)
    (result,) = context.state.array_records.values()
    return dict(zip(arrays, result.to_numpy_ndarrays()))


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

    if strategy is None:
        arrays = {name: array.numpy() for name, array in answer.content["arrays"].items()}
        arrays = under_masks(grid, context, arrays, experiment)
        if run["save-to"]:
            np.savez(run["save-to"], **arrays)
        return

    # Two records: strategies write into them, and what FedProx adds is for training only.
    train, evaluate = ConfigRecord(experiment), ConfigRecord(experiment)
    result = strategy.start(grid, answer.content["arrays"], run["num-rounds"], train_config=train, evaluate_config=evaluate)
    if run["save-to"]:
        np.savez(run["save-to"], **{name: array.numpy() for name, array in result.arrays.items()})
