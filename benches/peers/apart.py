"""Work in processes of its own: several at once that start each repeat together, with their times and their memory."""

import os
import resource
import time
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.multiprocessing

# glibc gives large blocks back to the system as soon as they are free, and each new one is cleared page by page. PyTorch is
# faster where it keeps them.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


@dataclass
class Measured:
    """What one process tells, or all of them together."""

    seconds: list  # of each repeat, by the clock
    cpu_seconds: list  # of each repeat, of all threads
    outputs: list  # what each repeat gave
    peak_memory: int  # bytes
    facts: dict  # whatever else there is to tell


class Clock:
    """Repeats a step in time with the other processes."""

    def __init__(self, barrier):
        self.barrier = barrier

    def time(self, step, count):
        seconds, cpu_seconds, outputs = [], [], []
        for _ in range(count):
            self.barrier.wait()
            started, used = time.perf_counter(), time.process_time()
            outputs.append(step())
            seconds.append(time.perf_counter() - started)
            cpu_seconds.append(time.process_time() - used)
        return seconds, cpu_seconds, outputs


@contextmanager
def environment(values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(work, job, processes=1, threads=1, keep_memory=True):
    """`work(job, clock)` gives the last three arguments of `Measured`, the memory aside; it runs in `processes` new processes with
    so many threads each. Seconds are those of the slowest, CPU seconds and memory those of all."""
    context = torch.multiprocessing.get_context("spawn")
    barrier, reports = context.Barrier(processes), context.SimpleQueue()
    children = [context.Process(target=run, args=(work, job, threads, barrier, reports)) for _ in range(processes)]
    with environment(KEEP_MEMORY if keep_memory else {}):
        for child in children:
            child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise SystemExit(f"a process of the peer failed: {job}")
    several = [reports.get() for _ in children]
    return Measured(
        [max(each) for each in zip(*(one.seconds for one in several))],
        [sum(each) for each in zip(*(one.cpu_seconds for one in several))],
        several[0].outputs,
        sum(one.peak_memory for one in several),
        several[0].facts,
    )


def run(work, job, threads, barrier, reports):
    # First of all: threads that start later flush denormals, too.
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    try:
        seconds, cpu_seconds, outputs, facts = work(job, Clock(barrier))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        reports.put(Measured(seconds, cpu_seconds, outputs, peak, facts))
    except BaseException:
        barrier.abort()
        raise
