"""A SuperLink, nodes and a server as processes of their own, with what they take; for flower_cost.py. Needs Python's own library only."""

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENDORS = ROOT / "datasets/emoji-vendors"
MODEL = ROOT / "models/clip-nano"
NAMES = ["fluent-emoji", "fluent-emoji-flat", "fxemoji", "openmoji"]
TICK = os.sysconf("SC_CLK_TCK")


def environment(folder, program):
    """Flower's programs find each other and ask nobody for anything, and everything is kept in `folder`."""
    own = {"PATH": f"{Path(program).parent}:{os.environ['PATH']}", "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_HOME": str(folder / "flwr-home"), "FLORA_CACHE": str(folder / "cache")}
    return {**os.environ, **own}


def start(command, folder, log, **options):
    with open(folder / log, "ab") as file:
        return subprocess.Popen([str(it) for it in command], cwd=folder, env=environment(folder, command[0]), stdin=subprocess.DEVNULL, stdout=options.pop("stdout", file), stderr=file, **options)


def memory(pid):
    """Megabytes of 10^6 bytes: resident now, at the peak, what is the process's alone, and its share of what several have."""
    status = Path(f"/proc/{pid}/status").read_text()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = lambda text, key: int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1])
    read = {"rss": (status, "VmRSS"), "peak": (status, "VmHWM"), "anonymous": (status, "RssAnon"), "pss": (rollup, "Pss")}
    return {name: kilobytes(*where) * 1024 / 1e6 for name, where in read.items()}


def cpu(pid):
    """CPU seconds of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def small_folder(folder, index, train=8, test=2):
    """A site's data set: a few images of one vendor, others for each index."""
    vendor = VENDORS / "images" / NAMES[index % len(NAMES)]
    for split, count in (("train", train), ("test", test)):
        images = sorted((vendor / split).glob("*/*.png"))
        # Steps through the classes, and begins elsewhere for each site.
        step = max(1, len(images) // count)
        for image in itertools.islice(itertools.cycle(images), index // len(NAMES), index // len(NAMES) + step * count, step):
            target = folder / split / image.parent.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, target)
    # A description names the classes that are there; the server puts together those of all sites.
    here = {path.name for path in folder.glob("*/*") if path.is_dir()}
    text = (VENDORS / "emoji-vendors.toml").read_text().replace("images/{domain}/", "")
    head, *classes = text.split("[[classes]]")
    head = re.sub(r"\[texts\].*", "", head, flags=re.S)
    kept = [it for it in classes if re.search(r'folder = "(.*)"', it)[1] in here]
    (folder / "site.toml").write_text("[[classes]]".join([head, *kept]))
    return folder / "site.toml"


class World:
    """All processes of a federation. They end with it."""

    def __init__(self, flora, flwr_bin, folder, port, database=False, isolation="process"):
        self.flora, self.folder, self.port = flora, folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.nodes, self.processes = [], []
        folder.mkdir(parents=True, exist_ok=True)
        command = [flwr_bin / "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", port, "--isolation", isolation]
        command += ["--disable-runtime-dependency-installation"] + (["--database", "superlink.db"] if database else [])
        self.superlink = self.start(command, "superlink.log")
        self.wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True, "the SuperLink listens")

    def start(self, command, log, **options):
        process = start(command, self.folder, log, **options)
        self.processes.append(process)
        return process

    def wait(self, holds, what, seconds=180):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for process in self.processes:
                if process.poll() is not None:
                    sys.exit(f"{self.folder}: {' '.join(process.args)} ended with {process.returncode} before {what}")
            try:
                if holds():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit(f"{self.folder}: not after {seconds} s: {what}")

    def start_nodes(self, sites, url=None):
        """A `flora node` for each (name, data set, domain)."""
        for name, data, domain in sites:
            command = [self.flora, "node", "--superlink", url or self.url, "--data", data, "--model", MODEL, "--name", name, "--state", f"state-{name}"]
            self.nodes.append(self.start(command + (["--domain", domain] if domain else []), f"{name}.log"))
        said = lambda name: "online at" in (self.folder / f"{name}.log").read_text()
        self.wait(lambda: all(said(name) for name, _, _ in sites), "all nodes are online")
        keys = [(self.folder / f"state-{name}/node.key.pub").read_text() for name, _, _ in sites]
        (self.folder / "names").write_text("".join(keys))

    def serve(self, settings, out="served", on_event=lambda event: None, served=True):
        """Runs `flora serve` with everybody, or the same in simulation, and gives its events with the times at which they came."""
        command = [self.flora, *(["serve", "--superlink", self.url, "--names", "names"] if served else ["run"])]
        paths = [f"model.path={MODEL}", f"data.path={VENDORS / 'emoji-vendors.toml'}"]
        for setting in paths + settings:
            command += ["--set", setting]
        command += ["quickstart", "--json", "--save-every", "0", "--out", out]
        process = self.start(command, f"{out}.log", stdout=subprocess.PIPE, text=True)
        events = []
        for line in process.stdout:
            event = json.loads(line)
            events.append((time.monotonic(), event))
            if event.get("event") == "run_finished":
                event["memory"] = memory(process.pid)
                event["cpu"] = cpu(process.pid)
            on_event(event)
        if process.wait() != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}; see {self.folder}")
        failures = [event for _, event in events if event.get("event") in ("client_failed", "warning", "below_quorum")]
        if failures:
            sys.exit(f"{self.folder}: not all went well: {failures[:3]}")
        return events

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def rounds(events):
    """Of each round: seconds by the clock, from the selection to the evaluation, and seconds of the slowest site's training."""
    begun, slowest, told = 0.0, 0.0, []
    for at, event in events:
        match event.get("event"):
            case "round_started":
                begun, slowest = at, 0.0
            case "client_replied":
                slowest = max(slowest, event["seconds"])
            case "evaluated" if event["model"] == "global" and event["round"] > 0:
                told.append((at - begun, slowest))
    return told
