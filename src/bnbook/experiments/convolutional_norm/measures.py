"""Section 3.2: what is measured of batch normalization per map and per activation, and of its place."""

from collections.abc import Callable

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.convolutional_norm.protocol import (
    LEARNS,
    PLACES,
    SIDES,
    SMALL_BATCH_VARIANTS,
    VARIANTS,
    Profile,
    chosen_rate,
    rates,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, accuracies, data_name, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.records import Record


def chosen(results: Results, variant: str, batch_size: int | None = None) -> list[Record]:
    """The records at the chosen learning rate, with the larger mini-batches unless told. A network with an
    idle bias has the rate of that without."""
    batch_size = batch_size or results.profile.batch_size
    like = "per_map" if variant == "biased" else variant
    return rates(results, variant, batch_size)[chosen_rate(results, like, batch_size)]


def new(results: Results, variant: str) -> list[Record]:
    """What new seeds ran of one of PLACES."""
    return next(found for key, found in results.main.items() if key[:2] == ("new", variant))


def learned(records: list[Record]) -> int:
    """How many of them end above LEARNS on the test set."""
    return int((accuracies(records) > 100 * LEARNS).sum())


def inside(results: Results, variant: str, name: str) -> np.ndarray:
    """A measure of `final` by seed, with the larger mini-batches; NaN where the run diverged."""
    return np.array([r.final.get(name, np.nan) for r in chosen(results, variant)])


def shift_errors(results: Results, variant: str) -> np.ndarray:
    """In percent of the maps' standard deviation, by seed."""
    return 100 * inside(results, variant, "shift_error")


# Statistics


def placement_gain(results: Results) -> Estimate:
    """By new seeds, over the pairs of networks that both learn."""
    wu, u = (accuracies(new(results, name)) for name in PLACES)
    both = (wu > 100 * LEARNS) & (u > 100 * LEARNS)
    both = both if both.any() else ~both  # in trainings that are too short for any
    lost = [int((found <= 100 * LEARNS).sum()) for found in (wu, u)]
    means = f"Wu {wu[both].mean():.2f}%, u {u[both].mean():.2f}%."
    return Estimate(
        stats.paired_difference(wu[both], u[both], resolution=one_image(new(results, PLACES[0]))),
        {
            "ko": f"{means} 새 시드 {len(wu)}개 가운데 학습되지 않은 시드: Wu {lost[0]}개, u {lost[1]}개.",
            "en": f"{means} Of {len(wu)} new seeds {lost[0]} do not learn with Wu, {lost[1]} with u.",
        },
    )


def gaussian_ratio(results: Results) -> Estimate:
    u, wu = (inside(results, "none", f"{name}_distance") for name in ("u", "wu"))
    return Estimate(
        stats.paired_ratio(u, wu),
        {
            "ko": f"정규 분포까지의 거리: u {u.mean():.3f}, Wu {wu.mean():.3f}.",
            "en": f"Distance from the normal distribution: u {u.mean():.3f}, Wu {wu.mean():.3f}.",
        },
    )


def bias_dropped(results: Results) -> Estimate:
    without, biased = (accuracies(chosen(results, name)) for name in ("per_map", "biased"))
    moved = inside(results, "biased", "bias_moved").max()
    return Estimate(
        stats.paired_difference(without, biased),
        {
            "ko": f"편향은 학습하는 동안 평균 {moved:.1g} 넘게 변하지 않았다.",
            "en": f"While training, the biases moved by no more than {moved:.1g} on average.",
        },
    )


def shift_gap(results: Results) -> Estimate:
    activation, each_map = (shift_errors(results, name) for name in ("per_activation", "per_map"))
    return Estimate(
        stats.paired_difference(activation, each_map),
        {
            "ko": f"활성화 값마다 정규화하면 {activation.mean():.1f}%, "
            f"맵마다 정규화하면 {each_map.max():.5f}% 이하.",
            "en": f"Per activation {activation.mean():.1f}%, per map no more than {each_map.max():.5f}%.",
        },
    )


def image_worth(results: Results) -> Estimate:
    first, second = (inside(results, "per_map", f"worth_{layer}") for layer in (1, 2))
    places = layer_places(results.profile)
    return Estimate(
        stats.paired_ratio(np.minimum(first, second), np.ones(len(first))),
        {
            "ko": f"첫 층 {np.median(first):.0f}(위치 {places[0]}곳), 둘째 층 {np.median(second):.0f}"
            f"(위치 {places[1]}곳), 시드의 중앙값.",
            "en": f"First layer {np.median(first):.0f} ({places[0]} places), second layer "
            f"{np.median(second):.0f} ({places[1]} places), medians over seeds.",
        },
    )


def per_map_gain(results: Results) -> Estimate:
    small = results.profile.small_batch
    each_map, activation = (
        accuracies(chosen(results, name, small)) for name in ("per_map", "per_activation")
    )
    return Estimate(
        stats.paired_difference(
            each_map, activation, resolution=one_image(chosen(results, "per_map", small))
        ),
        {
            "ko": f"미니배치 {small}장에서 맵마다 정규화하면 {each_map.mean():.2f}%, "
            f"활성화 값마다 정규화하면 {activation.mean():.2f}%.",
            "en": f"With mini-batches of {small}, per map {each_map.mean():.2f}%, per activation "
            f"{activation.mean():.2f}%.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "placement_gain": placement_gain,
    "gaussian_ratio": gaussian_ratio,
    "bias_dropped": bias_dropped,
    "shift_gap": shift_gap,
    "image_worth": image_worth,
    "per_map_gain": per_map_gain,
}


def layer_places(profile: Profile) -> tuple[int, int]:
    """p q, the places of a map, of the two layers."""
    side = SIDES[profile.data]
    return side**2, (side // 2) ** 2


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run; also how many gamma and beta there are, and the m p q of each layer."""
    places, maps = layer_places(profile), (profile.maps, 2 * profile.maps)
    found: dict[str, Number] = {
        "seeds": profile.seeds,
        "new_seeds": profile.new_seeds,
        "placement_effect": paper.effect("c-3.2-placement"),
        "steps": profile.steps,
        "small_batch_steps": profile.small_batch_steps,
        "batch_size": profile.batch_size,
        "small_batch": profile.small_batch,
        "lrs": list(profile.lrs),
        "small_batch_lrs": list(profile.small_batch_lrs),
        "shift": profile.shift,
        "parameters.per_map": 2 * sum(maps),
        "parameters.per_activation": 2 * sum(m * p for m, p in zip(maps, places, strict=True)),
    }
    for layer in (1, 2):
        own = {
            "maps": maps[layer - 1],
            "side": round(places[layer - 1] ** 0.5),
            "places": places[layer - 1],
            "effective_small": profile.small_batch * places[layer - 1],
            "effective_large": profile.batch_size * places[layer - 1],
        }
        found |= prefixed(f"layer_{layer}", own)
    return found


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies and shift errors in percent."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len(everything),
        "diverged": sum(record.diverged for record in everything),
    }
    batches = {"large": (results.profile.batch_size, VARIANTS)}
    batches["small"] = (results.profile.small_batch, SMALL_BATCH_VARIANTS)
    for batch, (batch_size, variants) in batches.items():
        for name in variants:
            records = chosen(results, name, batch_size)
            own: dict[str, Number] = {"lr": records[0].config["lr"]}
            own |= interval("accuracy", stats.mean_interval(accuracies(records)))
            found |= prefixed(f"{batch}.{name}", own)
    top = max(results.profile.lrs)
    found["top.lr"] = top
    for name in VARIANTS:
        found[f"top.{name}.learned"] = learned(rates(results, name, results.profile.batch_size)[top])
        own = {
            "shift_error": float(shift_errors(results, name).max()),
            "shifted_accuracy": float(100 * inside(results, name, "shifted_accuracy").mean()),
            "u_distance": float(inside(results, name, "u_distance").mean()),
            "wu_distance": float(inside(results, name, "wu_distance").mean()),
            "worth_1": float(np.median(inside(results, name, "worth_1"))),
            "worth_2": float(np.median(inside(results, name, "worth_2"))),
        }
        found |= prefixed(f"inside.{name}", own)
    for layer, places in zip((1, 2), layer_places(results.profile), strict=True):
        found |= prefixed(f"layer_{layer}", _correction(results, layer, places))
    found["bias_moved"] = float(inside(results, "biased", "bias_moved").max())
    found["plain_bias_moved"] = float(inside(results, "none", "bias_moved").mean())
    for name in PLACES:
        accuracy = accuracies(new(results, name))
        kept = accuracy[accuracy > 100 * LEARNS]
        found[f"placed.{name}.accuracy"] = float(kept.mean()) if kept.size else float("nan")
        found[f"placed.{name}.lost"] = int(accuracy.size - kept.size)
    for name, statistic in STATISTICS.items():
        found |= interval(name, statistic(results).interval)
    return found


def _correction(results: Results, layer: int, places: int) -> dict[str, Number]:
    """By how many percent a small mini-batch's variance has to be raised to be right on average: as counted,
    m' / (m' - 1), and as needed where an image is worth fewer independent values than it has places."""
    images = results.profile.small_batch
    effective = np.median(inside(results, "per_map", f"worth_{layer}"))
    return {
        "factor_counted": 100 / (images * places - 1),
        "factor_needed": float(100 / (images * effective - 1)),
    }
