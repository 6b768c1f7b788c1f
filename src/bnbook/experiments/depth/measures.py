"""After the paper: where deep networks end, and what their gradients and features are like before they train.

Accuracies are in percent, of networks at the learning rate that validation images chose.
"""

import math
from collections.abc import Callable

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.depth.protocol import ARMS, FINAL_SHARE, LAYERS_A_BLOCK, Profile, validation
from bnbook.experiments.protocol import Results
from bnbook.measures import (
    Estimate,
    accuracies,
    crossing,
    data_name,
    interval,
    one_image,
    prefixed,
)
from bnbook.paper import Number, Text
from bnbook.records import Record

# Layers left out at either end of a wide network: near the input the theory's fixed point is not reached yet,
# near the output the gradient is still that of the loss.
EDGE = 4
GUESSING = 1  # points: a run that ends no further above chance has learned nothing


def of(results: Results, arm: str, depth: int) -> list[Record]:
    """The records of new seeds."""
    return results.main["net", arm, str(depth)]


def ends(results: Results, arm: str, depth: int) -> np.ndarray:
    """Test accuracy at the end, by seed; chance for a run that diverged."""
    return accuracies(of(results, arm, depth))


def train_ends(results: Results, arm: str, depth: int) -> np.ndarray:
    """The same on training images."""
    return _train_ends(of(results, arm, depth))


def difference(results: Results, ours: tuple[str, int], other: tuple[str, int]) -> stats.Interval:
    """Points of test accuracy of one (arm, depth) over another, paired by seed."""
    return stats.paired_difference(
        ends(results, *ours), ends(results, *other), resolution=one_image(of(results, *ours))
    )


# Before training


def theory() -> float:
    """Yang et al. 2019: by how much the gradient of a wide network of ReLUs with BN grows from a layer to the
    one before it, in large mini-batches. Normalized values are normal; a ReLU passes half of their squares on
    and keeps (1 - 1/pi)/2 of their variance, which the next layer divides by again."""
    passed, kept = 1 / 2, (1 - 1 / math.pi) / 2
    return math.sqrt(passed / kept)


def growth(record: Record) -> float:
    """The factor a layer by which a wide network's gradient grows on its way back; geometric mean over the
    layers but for EDGE at either end."""
    logs = np.log(record.arrays["gradient"])
    inner = logs[EDGE : len(logs) - EDGE]
    return float(np.exp((inner[0] - inner[-1]) / (len(inner) - 1)))


def growths(results: Results, network: str, hidden: int, batch: int) -> np.ndarray:
    """By seed."""
    return np.array([growth(one) for one in results.main["wide", network, str(hidden), str(batch)]])


def right_digits(results: Results) -> np.ndarray:
    """Decimal digits to which the widest network with the largest mini-batch has the theory's factor, by
    seed."""
    found = growths(results, "bn", results.profile.widths[-1], results.profile.batches[-1])
    return -np.log10(np.abs(found / theory() - 1))


def gradient_in_all(results: Results, arm: str, depth: int) -> np.ndarray:
    """By how many times the gradient at the first layer is larger than at the last block, by seed."""
    return np.array([r.arrays["gradient"][0] / r.arrays["gradient"][-1] for r in of(results, arm, depth)])


def ranks(results: Results, arm: str, depth: int, when: str = "rank") -> np.ndarray:
    """(seeds, blocks + 1): effective rank of the features, before training or, "rank_end", after it; without
    the seeds that diverged."""
    found = [record.arrays[when] for record in of(results, arm, depth) if when in record.arrays]
    return np.array(found) if found else np.empty((0, 0))


# Statistics


def degradation(results: Results) -> Estimate:
    shallow, deep = results.profile.shallow, results.profile.deep
    return Estimate(
        difference(results, ("plain_bn", shallow), ("plain_bn", deep)),
        _ends_in_words(results, "plain_bn", "plain"),
    )


def shortcut(results: Results) -> Estimate:
    shallow, deep = results.profile.shallow, results.profile.deep
    return Estimate(
        difference(results, ("residual_bn", deep), ("residual_bn", shallow)),
        _ends_in_words(results, "residual_bn", "residual"),
    )


def normalized(results: Results) -> Estimate:
    deep = results.profile.deep
    bn, plain = ends(results, "plain_bn", deep).mean(), ends(results, "plain", deep).mean()
    return Estimate(
        difference(results, ("plain_bn", deep), ("plain", deep)),
        {
            "ko": f"{deep}층에서 배치 정규화가 있으면 {bn:.1f}%, 없으면 {plain:.1f}%다.",
            "en": f"At {deep} layers {bn:.1f}% with batch normalization, {plain:.1f}% without.",
        },
    )


def skipinit(results: Results) -> Estimate:
    deep = results.profile.deep
    ours, bn = ends(results, "skipinit", deep).mean(), ends(results, "residual_bn", deep).mean()
    bare = ends(results, "residual", deep).mean()
    return Estimate(
        difference(results, ("skipinit", deep), ("residual_bn", deep)),
        {
            "ko": f"{deep}층에서 SkipInit은 {ours:.1f}%, 배치 정규화를 쓴 잔차 네트워크는 {bn:.1f}%, "
            f"둘 다 없는 것은 {bare:.1f}%다.",
            "en": f"At {deep} layers SkipInit ends at {ours:.1f}%, the residual network with batch "
            f"normalization at {bn:.1f}%, the one with neither at {bare:.1f}%.",
        },
    )


def mean_field(results: Results) -> Estimate:
    widest, largest = results.profile.widths[-1], results.profile.batches[-1]
    found, plain = (growths(results, network, widest, largest).mean() for network in ("bn", "plain"))
    return Estimate(
        stats.mean_interval(right_digits(results)),
        {
            "ko": f"이론은 층마다 {theory():.4f}배, 잰 값은 {found:.4f}배다. "
            f"배치 정규화가 없으면 {plain:.3f}배다.",
            "en": f"Theory has {theory():.4f} times a layer, measured are {found:.4f}; without batch "
            f"normalization {plain:.3f}.",
        },
    )


def _ends_in_words(results: Results, arm: str, kind: str) -> Text:
    depths = (results.profile.shallow, results.profile.deep)
    test = [ends(results, arm, depth).mean() for depth in depths]
    train = [train_ends(results, arm, depth).mean() for depth in depths]
    return {
        "ko": f"테스트 정확도는 {depths[0]}층 {test[0]:.1f}%, {depths[1]}층 {test[1]:.1f}%이고, "
        f"훈련 이미지에서는 {train[0]:.1f}%와 {train[1]:.1f}%다.",
        "en": f"Test accuracy {test[0]:.1f}% with {depths[0]} layers and {test[1]:.1f}% with {depths[1]}; "
        f"on training images {train[0]:.1f}% and {train[1]:.1f}%.",
    }


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "degradation": degradation,
    "shortcut": shortcut,
    "normalized": normalized,
    "skipinit": skipinit,
    "mean_field": mean_field,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "new_seeds": profile.new_seeds,
        "few_seeds": min(profile.few_seeds, profile.new_seeds),
        "steps": profile.steps,
        "batch_size": profile.batch_size,
        "maps": profile.maps,
        "pool": profile.pool,
        "depths": list(profile.depths),
        "shallowest": min(profile.depths),
        "shallow": profile.shallow,
        "deep": profile.deep,
        "target": 100 * profile.target,
        "final_share": 100 * FINAL_SHARE,
        "lrs": list(profile.lrs),
        "wide_depth": profile.wide_depth,
        "widest": profile.widths[-1],
        "largest_batch": profile.batches[-1],
        "smallest_batch": profile.batches[0],
        "edge": EDGE,
        "theory": theory(),
        "theory_a_block": theory() ** LAYERS_A_BLOCK,
        "theory_in_all": theory() ** (profile.deep - 2),
        "normalized_bound": paper.effect("c-after-depth-normalized"),
        "skipinit_bound": -paper.effect("c-after-depth-skipinit"),
        "shortcut_bound": -paper.effect("c-after-depth-shortcut"),
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key: accuracies in percent, differences in points."""
    profile, everything = results.profile, results.records("main")
    found: dict[str, Number] = {"data": data_name(everything), "runs": len(everything)}
    for arm in ARMS:
        for depth in profile.depths:
            found |= prefixed(f"{arm}.{depth}", _of_network(results, arm, depth))
        found |= prefixed(f"{arm}.deep", _of_network(results, arm, profile.deep))
        found |= prefixed(f"{arm}.shallow", _of_network(results, arm, profile.shallow))
        for depth in profile.depths:
            for lr in profile.lrs:
                chosen_by = results.main["rate", arm, str(depth), f"{lr:g}"]
                found[f"rate.{arm}.{depth}.{lr:g}"] = 100 * validation(chosen_by)
    for key, group in results.main.items():
        if key[0] == "below":
            found |= prefixed("below", _of_group(group, profile))
        if key[0] == "wide":
            _, network, hidden, batch = key
            values = growths(results, network, int(hidden), int(batch))
            found |= interval(f"wide.{network}.{hidden}.{batch}", stats.mean_interval(values))
    widest, smallest, largest = profile.widths[-1], profile.batches[0], profile.batches[-1]
    found["wide.growth"] = float(growths(results, "bn", widest, largest).mean())
    found["wide.plain_growth"] = float(growths(results, "plain", widest, largest).mean())
    found["wide.small_batch_growth"] = float(growths(results, "bn", widest, smallest).mean())
    found["wide.rank"] = _wide_rank(results, widest, largest)
    found["wide.small_batch_rank"] = _wide_rank(results, widest, smallest)
    for name, statistic in STATISTICS.items():
        found |= interval(name, statistic(results).interval)
    return found


def _wide_rank(results: Results, hidden: int, batch: int) -> float:
    """Effective rank of the last layer's features, with BN; mean over seeds."""
    records = results.main["wide", "bn", str(hidden), str(batch)]
    return float(np.mean([record.arrays["rank"][-1] for record in records]))


def _of_network(results: Results, arm: str, depth: int) -> dict[str, Number]:
    records = of(results, arm, depth)
    blocks = len(records[0].arrays["gradient"]) - 1
    in_all = np.exp(np.log(gradient_in_all(results, arm, depth)).mean())
    found = _of_group(records, results.profile) | {
        "gradient_in_all": float(in_all),
        "gradient_a_layer": float(in_all ** (1 / (LAYERS_A_BLOCK * blocks))),
        "rank": float(ranks(results, arm, depth)[:, -1].mean()),
    }
    after = ranks(results, arm, depth, "rank_end")
    if len(after):
        found["rank_end"] = float(after[:, -1].mean())
    return found


def _of_group(records: list[Record], profile: Profile) -> dict[str, Number]:
    """Of one network at one rate: where its seeds end, and when they arrive."""
    at_end, arrived = accuracies(records), [crossing(record, 100 * profile.target) for record in records]
    guessing = 100 * records[0].final["chance_accuracy"] + GUESSING
    return interval("accuracy", stats.mean_interval(at_end)) | {
        "best": float(at_end.max()),
        "train": float(_train_ends(records).mean()),
        "lr": records[0].config["lr"],
        "diverged": sum(record.diverged for record in records),
        "guessing": int((at_end <= guessing).sum()),
        "steps_to_target": float(np.median([one.step for one in arrived])),
        "reached": sum(one.reached for one in arrived),
    }


def _train_ends(records: list[Record]) -> np.ndarray:
    return 100 * np.array([_final(record, "train_accuracy") for record in records])


def _final(record: Record, name: str) -> float:
    """Of the end; chance for a run that diverged."""
    return record.final["chance_accuracy" if record.diverged else name]
