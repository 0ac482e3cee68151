"""A TCP proxy in front of a SuperLink that counts what nodes send and receive; for flower_cost.py."""

import asyncio
import re
import threading
from collections import defaultdict


class Count:
    """Bytes from and to nodes: of bodies, and of requests' and responses' heads."""

    def __init__(self):
        self.calls = self.up = self.down = self.heads_up = self.heads_down = 0


class CountingProxy:
    """Listens on `port`. Counts by what a request is for: `train` and `evaluate` (everything about a message of this type and its
    answer), `query` the same, `polls` that find nothing, `heartbeats`, and `rest`."""

    def __init__(self, port, superlink):
        self.port, self.superlink = port, superlink
        self.counts = defaultdict(Count)
        self.busy = {}  # of a node, by its key: what the objects are of that it fetches or sends
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self.run, args=(started,), daemon=True).start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", self.port))
        started.set()
        self.loop.run_forever()

    def snapshot(self):
        return {name: dict(vars(count)) for name, count in list(self.counts.items())}

    async def serve(self, reader, writer):
        upstream = None
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.superlink)
            while True:
                request = await read(reader)
                upstream[1].write(request[0] + request[1])
                response = await read(upstream[0])
                self.count(request, response)
                writer.write(response[0] + response[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for end in [writer] + ([upstream[1]] if upstream else []):
                end.close()

    def count(self, request, response):
        path = re.match(rb"POST /v1/fleet/([a-z-]+)", request[0])[1].decode()
        key = field(request[0], b"flwr-public-key")
        for path_with_type, body in (("pull-messages", response[1]), ("push-messages", request[1])):
            if path == path_with_type:
                # The type is a string of a protobuf message, and so stands there as it is.
                found = re.search(rb"train|evaluate|query\.", body)
                self.busy[key] = found[0].decode().strip(".") if found else "polls"
        kinds = {"pull-object", "push-object", "pull-messages", "push-messages", "confirm-message-received"}
        kind = self.busy[key] if path in kinds else "heartbeats" if path == "send-node-heartbeat" else "rest"
        count = self.counts[kind]
        count.calls += 1
        count.heads_up += len(request[0])
        count.up += len(request[1])
        count.heads_down += len(response[0])
        count.down += len(response[1])


def field(head, name):
    found = re.search(rb"\r\n" + name + rb":\s*([^\r]*)\r\n", head, re.I)
    return found[1] if found else b""


async def read(reader):
    """Head and body of a request or response."""
    head = await reader.readuntil(b"\r\n\r\n")
    if field(head, b"transfer-encoding"):
        raise SystemExit(f"neither side was seen to send this before: {head!r}")
    return head, await reader.readexactly(int(field(head, b"content-length") or 0))
