#!/usr/bin/env python3
"""What Flower's SuperLink costs flora: seconds a round, bytes on the wire, memory, and how all of it grows with the nodes.

    flower_cost.py --flwr-bin VENV/bin                     # all of the below, without the ten minutes of --rest
    flower_cost.py --flwr-bin VENV/bin --only overhead bytes ...

VENV is one with `pip install flwr==1.42.0`; the script itself needs Python 3.11 and nothing else. Everything runs on this machine, and nothing
is downloaded.

- `overhead`: the preset `quickstart` by four nodes, and in simulation; with a SuperLink that keeps messages in memory, and with `--database`.
  The overhead of a round is its seconds by the clock, from the selection to the end of the evaluation, less those that the slowest
  site trained. This includes the sites' evaluation. It is given for the simulation, too, where the rest is evaluation and averaging. Then
  four sites of eight images each, which leave almost nothing but the overhead.
- `bytes`: adapters of the shape of the preset `paper`, 24 matrices of 1,024 numbers (96 KiB), on clip-nano. A proxy between nodes and SuperLink
  counts bodies and heads of HTTP in both directions; TCP's and IP's own heads are not counted.
- `memory`: of a node that waits, that trains, and after its run; with --rest also ten minutes later. CPU and bytes of one that waits.
- `scale`: 4, 10, 25 and 50 nodes of eight images each, five rounds, and the line through the seconds of a round.
  A node of many may cost twice as much as one of few; more ends the script with 1. With --nodes 4 16 --rounds 3 it is a check of half a minute.
- `peer`: Flower's own SuperNodes and FedAvg in Python, with clients that send as much and compute nothing.
"""

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flower_wire import CountingProxy
from flower_world import NAMES, ROOT, VENDORS, World, cpu, memory, rounds, small_folder, start

# 24 matrices of 8 by 128: as many numbers, in as many matrices, as the preset `paper` has on CLIP ViT-B/32 (12 layers, rank 2, 512 wide).
PAPER = ["method.lora.r=8", 'method.lora.target_modules=["self_attn.q_proj","self_attn.v_proj"]']
PAPER_BYTES = 24 * 1024 * 4
ONE_EPOCH = ["training.batch_size=8"]
vendors = [(name, VENDORS / "emoji-vendors.toml", name) for name in NAMES]


def small_sites(folder, count):
    return [(f"site-{i:02}", small_folder(folder / f"images-{i:02}", i), None) for i in range(count)]


def show(name, told, more=""):
    """A line of seconds. The first round is left out: caches and connections are new in it."""
    walls, over = [wall for wall, _ in told[1:]], [wall - slowest for wall, slowest in told[1:]]
    print(f"{name:34} {statistics.median(walls):7.3f} s a round, {statistics.median(over):7.3f} (at most {max(over):.3f}) besides training{more}", flush=True)


def overhead(make):
    for database in (False, True):
        with make(database=database) as world:
            name = "with --database" if database else "in memory"
            world.start_nodes(vendors)
            show(f"quickstart, 4 nodes, {name}", rounds(world.serve(["training.rounds=8"])))
            if not database:
                show("quickstart, simulation", rounds(world.serve(["training.rounds=8"], "simulated", served=False)))
            size = world.folder / "superlink.db"
            before = disk(size)
            world.serve(["training.rounds=10"], "again")
            if database:
                print(f"{'':34} the database: {before / 1e6:.2f} MB, and {disk(size) / 1e6:.2f} after 10 more rounds")
        with make(database=database) as world:
            world.start_nodes(small_sites(world.folder, 4))
            show(f"4 tiny sites, {name}", rounds(world.serve(ONE_EPOCH + PAPER + ["training.rounds=12"])))


def disk(path):
    """Bytes of a database with its journal."""
    return sum(it.stat().st_size for it in path.parent.glob(f"{path.name}*"))


def count_bytes(make, port):
    with make() as world:
        proxy = CountingProxy(port, world.port)
        world.start_nodes(small_sites(world.folder, 4), f"http://127.0.0.1:{port}")
        marks = []

        def on_event(event):
            if event.get("event") == "round_started":
                marks.append(proxy.snapshot())

        events = world.serve(ONE_EPOCH + PAPER + ["training.rounds=8"], on_event=on_event)
        begun = next(event for _, event in events if event.get("event") == "run_started")
        assert begun["bytes_per_client"] == PAPER_BYTES, begun
        first, last = marks[1], marks[-1]
        messages = 4 * (len(marks) - 2)
        print(f"the adapter has {PAPER_BYTES} bytes of values; bytes of one message and its answer, mean of {messages}, in {len(marks) - 2} rounds:")
        for kind in ("train", "evaluate", "polls", "heartbeats"):
            of = {key: (last[kind][key] - first.get(kind, {}).get(key, 0)) / messages for key in last.get(kind, {})}
            if of:
                print(f"  {kind:10} {of['calls']:6.1f} requests; bodies {of['up']:9.0f} up {of['down']:9.0f} down; heads {of['heads_up']:7.0f} up {of['heads_down']:6.0f} down")
        up, down = ((last["train"][way] - first["train"][way]) / messages for way in ("up", "down"))
        raw = [(sum(last[kind][way] + last[kind][f"heads_{way}"] - first.get(kind, {}).get(way, 0) - first.get(kind, {}).get(f"heads_{way}", 0) for kind in last)) / messages for way in ("up", "down")]
        print(f"  train: {100 * (up / PAPER_BYTES - 1):+.2f} % up, {100 * (down / PAPER_BYTES - 1):+.2f} % down beside the values")
        print(f"  everything, heads and polls too, a node and round: {raw[0]:.0f} bytes up, {raw[1]:.0f} down")
        counts = [event["bytes_up"] for _, event in events if event.get("event") == "client_replied"]
        print(f"  flora's own count of an answer: {statistics.mean(counts):.0f} bytes ({100 * (statistics.mean(counts) / PAPER_BYTES - 1):+.2f} %)")
        # Long enough after the run that nodes look for messages seldom.
        time.sleep(25)
        before, used = proxy.snapshot(), [cpu(node.pid) for node in world.nodes]
        time.sleep(60)
        after = proxy.snapshot()
        of = {key: sum(after[kind][key] - before.get(kind, {}).get(key, 0) for kind in after) / 4 for key in after["polls"]}
        used = statistics.mean(cpu(node.pid) for node in world.nodes) - statistics.mean(used)
        print(f"a node that waits, a minute: {of['calls']:.0f} requests, {of['up'] + of['heads_up']:.0f} bytes up, {of['down'] + of['heads_down']:.0f} down, {used:.3f} CPU seconds")


def node_memory(make, rest):
    with make() as world:
        world.start_nodes(vendors)
        tell_memory("a node that waits for its first run", world.nodes)
        seen = []

        def on_event(event):
            if event.get("event") == "evaluated" and event["round"] == 3:
                seen.append([memory(node.pid) for node in world.nodes])

        world.serve(["training.rounds=5"], on_event=on_event)
        print_memory("a node in a run", seen[-1])
        tell_memory("a node after its run", world.nodes)
        if rest:
            time.sleep(620)
            tell_memory("a node, ten minutes later", world.nodes)


def tell_memory(name, processes):
    print_memory(name, [memory(process.pid) for process in processes])


def print_memory(name, of):
    mean, most = ({key: how(each[key] for each in of) for key in of[0]} for how in (lambda them: statistics.mean(list(them)), max))
    print(f"{name:36} resident {mean['rss']:6.1f} MB (at most {most['rss']:.1f}; peak {most['peak']:.1f}), its own {mean['anonymous']:5.1f}, its share {mean['pss']:5.1f}", flush=True)


def scale(make, counts, count_rounds):
    points = []
    for count in counts:
        with make() as world:
            world.start_nodes(small_sites(world.folder, count))
            # What a round takes of the processors, where nodes, SuperLink and server share two.
            marks = []

            def on_event(event):
                if event.get("event") == "round_started":
                    marks.append((time.monotonic(), cpu(world.superlink.pid), sum(cpu(node.pid) for node in world.nodes)))

            events = world.serve(ONE_EPOCH + PAPER + [f"training.rounds={count_rounds}"], on_event=on_event)
            told = rounds(events)
            assert len(told) == count_rounds
            replies = sum(event.get("event") == "client_replied" for _, event in events)
            assert replies == count * count_rounds, replies
            (_, link_0, nodes_0), (_, link_1, nodes_1) = marks[1], marks[-1]
            of = len(marks) - 2
            finished = next(event for _, event in events if event.get("event") == "run_finished")
            wall = statistics.mean(wall for wall, _ in told[1:])
            points.append((count, wall))
            show(f"{count} nodes", told)
            print(f"{'':34} CPU seconds a round: SuperLink {(link_1 - link_0) / of:.2f}, all nodes {(nodes_1 - nodes_0) / of:.2f}, flora serve {finished['cpu'] / (count_rounds + 1):.2f}")
            print(f"{'':34} MB: SuperLink {memory(world.superlink.pid)['rss']:.0f}, flora serve {finished['memory']['peak']:.0f}, a node {statistics.mean(memory(it.pid)['rss'] for it in world.nodes):.0f}", flush=True)
    if len(points) > 2:
        fit = statistics.linear_regression(*zip(*points))
        left = max(abs(wall - fit.intercept - fit.slope * count) for count, wall in points)
        r = statistics.correlation(*zip(*points))
        print(f"the line: {fit.intercept:.3f} s + {fit.slope:.4f} s a node; r^2 = {r * r:.4f}, off by at most {left:.2f} s")
    (few, first), (many, last) = points[0], points[-1]
    print(f"a node and round: {1000 * first / few:.1f} ms of {few}, {1000 * last / many:.1f} ms of {many}")
    return last / many < 2 * first / few


def peer(make, flwr_bin, port, nodes=4, count_rounds=4):
    with make(isolation="subprocess") as world:
        home = world.folder / "flwr-home"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{world.port}"\ninsecure = true\n')
        for i in range(nodes):
            command = [flwr_bin / "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{world.port}", "--port", str(port + i)]
            world.nodes.append(world.start(command, f"supernode-{i}.log"))
        time.sleep(20)
        waiting = [tree_memory(node.pid) for node in world.nodes]
        times = world.folder / "times"
        config = f'nodes={nodes} num-rounds={count_rounds} times="{times}"'
        begun = start([flwr_bin / "flwr", "run", ROOT / "benches/peers/flower_app", "here", "--run-config", config], world.folder, "run.log")
        if begun.wait() != 0:
            sys.exit((world.folder / "run.log").read_text())
        peak = []

        def over():
            peak.append(statistics.mean(tree_memory(node.pid) for node in world.nodes))
            time.sleep(0.3)
            return times.is_file() and len(times.read_text().split()) >= count_rounds + 2

        world.wait(over, "the run is over", 400)
        at = [float(it) for it in times.read_text().split()]
        between = [b - a for a, b in itertools.pairwise(at[1:-1])]
        print(f"Flower's own {nodes} SuperNodes          {statistics.median(between):7.3f} s a round ({', '.join(f'{it:.1f}' for it in between)})")
        print(f"{'':34} MB: SuperLink {memory(world.superlink.pid)['rss']:.0f}, a SuperNode that waits {statistics.mean(waiting):.0f} in its share, with its app at work {max(peak):.0f}", flush=True)


def tree_memory(pid):
    """Of a process and its children, their shares of what is shared."""
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        try:
            total += memory(one)["pss"]
            todo += [int(it) for it in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (OSError, TypeError):
            pass
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flora", type=Path, default=ROOT / "target/release/flora")
    parser.add_argument("--flwr-bin", type=Path, required=True, help="the folder of flower-superlink")
    parser.add_argument("--port", type=int, default=8590, help="the first of a few free ones (default: %(default)s)")
    parts = ["overhead", "bytes", "memory", "scale", "peer"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rest", action="store_true", help="wait ten minutes for what nodes put aside")
    parser.add_argument("--nodes", type=int, nargs="+", default=[4, 10, 25, 50], help="of `scale`")
    parser.add_argument("--rounds", type=int, default=5, help="of `scale`, 3 or more")
    parser.add_argument("--scratch", type=Path, help="keep everything in this folder")
    chosen = parser.parse_args()
    flora, flwr_bin = chosen.flora.resolve(), chosen.flwr_bin.absolute()
    version = subprocess.run([flwr_bin / "flower-superlink", "--version"], capture_output=True, text=True).stdout.strip()
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    print(f"{version}; {os.cpu_count()} cores, {model}; load {os.getloadavg()[0]:.1f} before", flush=True)
    # Whoever ends the script ends its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        folder, number = (chosen.scratch or Path(scratch)).absolute(), itertools.count()

        def make(**options):
            return World(flora, flwr_bin, folder / f"world-{next(number)}", chosen.port, **options)

        for part in chosen.only:
            print(f"-- {part}", flush=True)
            match part:
                case "overhead":
                    overhead(make)
                case "bytes":
                    count_bytes(make, chosen.port + 1)
                case "memory":
                    node_memory(make, chosen.rest)
                case "scale":
                    good &= scale(make, chosen.nodes, chosen.rounds)
                case "peer":
                    peer(make, flwr_bin, chosen.port + 2)
    print(f"load {os.getloadavg()[0]:.1f} after")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
