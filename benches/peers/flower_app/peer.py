"""What flora's nodes send and receive in a round, between Flower's own programs: FedAvg over 24 arrays of 1,024 numbers."""

import time

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message, context):
    arrays = ArrayRecord([array + 1 for array in message.content["arrays"].to_numpy_ndarrays()])
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 8, "loss": 0.5})}), reply_to=message)


@client.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 2, "loss": 0.5})}), reply_to=message)


@server.main()
def main(grid, context):
    run = context.run_config
    nodes = run["nodes"]

    def tell(server_round, arrays):
        with open(run["times"], "a") as file:
            print(time.monotonic(), file=file)

    # `evaluate_fn` is called before the first round, and between a round's training and its evaluation.
    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    initial = ArrayRecord([np.zeros((8, 128), np.float32) for _ in range(24)])
    strategy.start(grid=grid, initial_arrays=initial, num_rounds=run["num-rounds"], evaluate_fn=tell)
    tell(None, None)
