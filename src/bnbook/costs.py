"""What the runs cost on other machines: on more workers, at the profile "paper", at the paper's own scale.

Measured are the durations in the records; all else is computed from them, and called an estimate where a
reader sees it.
"""

import functools
import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from bnbook import architecture, benchmarks, durations, paper, paths, records
from bnbook.experiments import EXPERIMENTS, Experiment
from bnbook.paper import Number
from bnbook.records import Record, RecordError

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)
PROFILE = "paper"
# Multiply-adds of an image of 224x224 in GoogLeNet, as torchvision counts them beside its weights; the
# paper's network has each 5x5 convolution as two of 3x3, and its appendix says how much more that costs.
GOOGLENET = 1.498e9
FULL_WIDTH = 1.0


def makespan(seconds: Iterable[float], workers: int, longest_first: bool = False) -> float:
    """When the last of these runs ends, where each goes to the worker that is free first: in the order given,
    or the longest first. Starting processes takes no time here."""
    free = [0.0] * workers
    for one in sorted(seconds, reverse=True) if longest_first else seconds:
        heapq.heappush(free, heapq.heappop(free) + one)
    return max(free)


def sweep(passes: Sequence[Sequence[float]], workers: int, longest_first: bool = False) -> float:
    """The same of passes, each of which begins when the one before has ended."""
    return sum(makespan(one, workers, longest_first) for one in passes)


class Throughput(NamedTuple):
    """What a kind of device was seen to do with the network of full width, several runs side by side."""

    device: str
    runs: int
    at_a_time: float
    steps_a_second: float  # of all runs together
    batch_size: int
    images_a_second: float


@functools.cache
def throughputs() -> dict[str, Throughput]:
    """By device, from the committed records of Section 4.2 that were made on GPUs alone."""
    found = defaultdict(list)
    for file in (paths.runs(paths.RESULTS) / "inception_speedups").rglob("seed-*.json"):
        record = records.read(file)
        device = record.provenance["hardware"]
        if durations.on_a_gpu(record) and record.config.get("width") == FULL_WIDTH:
            found[device].append(record)
    return {device: _throughput(device, made) for device, made in found.items()}


def _throughput(device: str, made: list[Record]) -> Throughput:
    ends = [datetime.fromisoformat(record.provenance["finished"]).timestamp() for record in made]
    took = [record.provenance["seconds"] for record in made]
    busy, until = 0.0, 0.0
    for begin, end in sorted((end - seconds, end) for end, seconds in zip(ends, took, strict=True)):
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    steps = sum(record.outcome["step"] for record in made)
    (batch_size,) = {record.config["batch_size"] for record in made}
    pace = steps / busy
    return Throughput(device, len(made), sum(took) / busy, pace, batch_size, pace * batch_size)


def multiply_adds(width: float, side: int = 28) -> int:
    """Of one image of side x side through the small Inception, forward."""
    maps = architecture.scaled(architecture.STEM, width)
    count = 3 * maps * 9 * side**2
    for block in architecture.BLOCKS:
        if isinstance(block, int):
            side //= 2
            count += maps * architecture.scaled(block, width) * 9 * side**2
            maps += architecture.scaled(block, width)
        else:
            narrow, wide = (architecture.scaled(branch, width) for branch in block)
            count += maps * (narrow + 9 * wide) * side**2
            maps = narrow + wide
    return count + maps * architecture.CLASSES


@functools.cache
def numbers() -> dict[str, Number]:
    """ "costs.workers.<n>.hours", ".longest_first_hours" and ".times"; "costs.paper.runs", ".unmeasured",
    ".core_hours", ".gpu_hours"; "costs.gpu.<what>" of the only kind of GPU measured;
    "costs.imagenet.<network>.gpu_days" and ".core_years"."""
    known: dict[str, Number] = {}
    passes = durations.passes()
    alone = sweep(passes, 1)
    for workers in WORKERS:
        hours = sweep(passes, workers) / 3600
        known |= {
            f"costs.workers.{workers}.hours": hours,
            f"costs.workers.{workers}.longest_first_hours": sweep(passes, workers, True) / 3600,
            f"costs.workers.{workers}.times": alone / 3600 / hours,
        }
    known["costs.longest_run_hours"] = max(map(max, filter(None, passes))) / 3600
    (gpu,) = throughputs().values()  # where there are more the text has to name them
    known |= {f"costs.gpu.{name}": value for name, value in gpu._asdict().items()}
    known |= {f"costs.paper.{name}": value for name, value in paper_profile(gpu).items()}
    return known | {f"costs.imagenet.{name}": value for name, value in imagenet(gpu).items()}


def paper_profile(gpu: Throughput) -> dict[str, Number]:
    """The runs of the profile "paper" that can be told before it begins, and about how long they take:
    networks of full width on the GPU, at its measured pace; all others on a core, by the seconds of a step of
    the committed runs of the same experiment. Those of which nothing was measured are counted apart
    ("unmeasured")."""
    runs, unmeasured, core, device = 0, 0, 0.0, 0.0
    for experiment in EXPERIMENTS.values():
        pace = _seconds_a_step(experiment)
        for config in _planned(experiment):
            steps = config.get("steps", 1)
            runs += 1
            if config.get("width") == FULL_WIDTH:
                device += steps / gpu.steps_a_second
            else:
                core += steps * pace
                unmeasured += not pace
    return {"runs": runs, "unmeasured": unmeasured, "core_hours": core / 3600, "gpu_hours": device / 3600}


def _seconds_a_step(experiment: Experiment) -> float:
    """The mean over the committed runs; a run without steps counts as one."""
    made = list(durations.records_of(experiment))
    steps = sum(record.config.get("steps", 1) for record in made)
    return sum(map(durations.on_one_core, made)) / steps if steps else 0.0


def _planned(experiment: Experiment) -> list[dict[str, Any]]:
    """The configurations of its own runs: of the stages that need no records, and the main ones at what the
    committed runs chose."""
    protocol, folders = experiment.protocol, [paths.runs(paths.RESULTS)]
    sizes = protocol.PROFILES[PROFILE]
    jobs: dict = {}
    for stage in protocol.STAGES:
        try:
            jobs |= dict.fromkeys(protocol.plan(stage, sizes, folders))
        except RecordError:
            break
    with suppress(RecordError, KeyError):  # not made yet, or a choice that this profile does not have
        choice = protocol.choose(protocol.PROFILES[durations.PROFILE], folders)
        jobs |= dict.fromkeys(protocol.jobs(sizes, choice))
    return [config.to_dict() for config, _ in jobs if config.experiment == experiment.name]


def imagenet(gpu: Throughput) -> dict[str, Number]:
    """The paper's own runs on one such GPU, and on one core of the benchmark's processor, if both did as many
    multiply-adds a second as they do with the small network."""
    said = paper.numbers()
    images = said["inception.batch_size"]
    work = GOOGLENET * (1 + said["appendix.extra_cost"] / 100)
    times = work / multiply_adds(FULL_WIDTH)
    cost = next(
        one
        for one in benchmarks.read()["inception_speedups"]["costs"]
        if (one["width"], one["batch_size"]) == (FULL_WIDTH, 128)
    )
    core = 128 / cost["bn_ms"] * 1000
    found: dict[str, Number] = {
        "billion_multiply_adds": work / 1e9,
        "times": times,
        "images_a_second": gpu.images_a_second / times,
    }
    for name in ("baseline", "bn_baseline", "bn_x5", "bn_x30"):
        seen = said[f"inception.{name}.steps_to_72_2"] * images * times
        found |= {
            f"{name}.gpu_days": seen / gpu.images_a_second / 86400,
            f"{name}.core_years": seen / core / 86400 / 365,
        }
    return found
