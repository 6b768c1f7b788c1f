"""The abstract and Section 3.3: over how many decades of initial scale a network trains."""

from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.careless_initialization.protocol import (
    ACTIVATIONS,
    CONTROLS,
    VARIANTS,
    WORKS,
    Config,
    Profile,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, data_name, interval, prefixed
from bnbook.paper import Number

OTHER_THRESHOLDS = (0.3, 0.8)  # to see whether WORKS decides the result


def depths(results: Results) -> list[int]:
    return sorted({int(key[2]) for key in results.main if key[0] in ACTIVATIONS})


def scales(results: Results) -> np.ndarray:
    """From the smallest to the largest."""
    config = next(iter(results.main.values()))[0].config
    return np.array(Config.from_dict(config).scales)


def rows(results: Results, activation: str, variant: str, name: str) -> list[np.ndarray]:
    """An array of the records by depth, seeds first: "accuracy" (seeds, scales, rates), "spread" or
    "gradient" (seeds, scales, depth)."""
    return [
        np.stack([record.arrays[name] for record in results.main[activation, variant, str(depth)]])
        for depth in depths(results)
    ]


def accuracies(results: Results, activation: str, variant: str, rate: int | None = None) -> np.ndarray:
    """(seeds, depths, scales): validation accuracy (0 to 1) at the best of the rates, or at the `rate`-th."""
    found = np.stack(rows(results, activation, variant, "accuracy"), axis=1)
    return found.max(-1) if rate is None else found[..., rate]


def controls(results: Results) -> dict[str, np.ndarray]:
    """(seeds, scales): validation accuracy at the best rate of the row that the controls change ("none"), and
    of each control by name."""
    depth = depths(results)[-2]
    found = {"none": ("relu", "bn", str(depth))} | {name: ("control", name) for name in CONTROLS}
    return {
        name: np.stack([record.arrays["accuracy"].max(1) for record in results.main[key]])
        for name, key in found.items()
    }


def span(results: Results) -> float:
    """Decades from the smallest scale to the largest."""
    return float(np.log10(scales(results)[-1] / scales(results)[0]))


def decades(
    results: Results, activation: str, variant: str, threshold: float = WORKS, rate: int | None = None
) -> np.ndarray:
    """(seeds, depths): in how many of the decades tried training works, as the share of the scales."""
    works = accuracies(results, activation, variant, rate) > threshold
    return works.mean(-1) * span(results)


def gain(
    results: Results, activation: str, threshold: float = WORKS, rate: int | None = None
) -> stats.Interval:
    """Decades with BN minus without, mean over depths, paired by seed."""
    bn, plain = (decades(results, activation, name, threshold, rate).mean(1) for name in ("bn", "plain"))
    return stats.paired_difference(bn, plain)


def growth(results: Results, activation: str, variant: str) -> float:
    """At scale 1 and before any training, the deepest network: by how many times the gradient grows from a
    layer to the one before it; geometric mean over layers and seeds."""
    gradient = rows(results, activation, variant, "gradient")[-1]
    middle = gradient[:, gradient.shape[1] // 2]
    return float(np.exp(np.mean(np.log(middle[:, 0] / middle[:, -1])) / max(1, middle.shape[1] - 1)))


# Statistics


def freedom(activation: str) -> Callable[[Results], Estimate]:
    def statistic(results: Results) -> Estimate:
        bn, plain = (decades(results, activation, name).mean(0) for name in ("bn", "plain"))
        by_depth = list(zip(depths(results), bn, plain, strict=True))
        ko = "; ".join(f"{depth}층 {a:.1f} 대 {b:.1f}" for depth, a, b in by_depth)
        en = "; ".join(f"depth {depth}, {a:.1f} against {b:.1f}" for depth, a, b in by_depth)
        whole = f"{span(results):g}"
        return Estimate(
            gain(results, activation),
            {
                "ko": f"{whole}자릿수 가운데 학습이 된 자릿수(배치 정규화 대 기준 모델): {ko}.",
                "en": f"Of {whole} decades, those in which training works, with BN against without: {en}.",
            },
        )

    return statistic


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "relu_freedom": freedom("relu"),
    "sigmoid_freedom": freedom("sigmoid"),
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "steps": profile.steps,
        "decades": profile.decades,
        "scales": profile.decades * profile.per_decade + 1,
        "rates": len(profile.lrs),
        "shallowest": min(profile.depths),
        "deepest": max(profile.depths),
        "controlled": profile.depths[-2],
        "works": 100 * WORKS,
        "small_epsilon": CONTROLS["epsilon"]["norm_eps"],
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, at the best rate."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len(everything),
        "trainings": sum(record.arrays["accuracy"].size for record in everything),
    }
    for activation in ACTIVATIONS:
        ours = interval("gain", gain(results, activation))
        for threshold in OTHER_THRESHOLDS:
            ours[f"gain_at_{100 * threshold:.0f}"] = gain(results, activation, threshold).estimate
        single = [gain(results, activation, rate=rate).estimate for rate in range(len(results.profile.lrs))]
        ours |= {"gain_one_rate_low": min(single), "gain_one_rate_high": max(single)}
        for variant in VARIANTS:
            ours |= prefixed(variant, _of_variant(results, activation, variant))
        found |= prefixed(activation, ours)
    for name, accuracy in controls(results).items():
        found |= prefixed(
            f"control.{name}",
            {
                "decades": (accuracy > WORKS).mean() * span(results),
                "at_smallest": 100 * accuracy[:, 0].mean(),
                "at_largest": 100 * accuracy[:, -1].mean(),
            },
        )
    return found


def _of_variant(results: Results, activation: str, variant: str) -> dict[str, Number]:
    works = decades(results, activation, variant).mean(0)
    accuracy = 100 * accuracies(results, activation, variant).mean(0)  # (depths, scales)
    middle = accuracy.shape[1] // 2
    factor, deepest = growth(results, activation, variant), depths(results)[-1]
    found: dict[str, Number] = {
        "decades": works.mean(),
        "growth": factor,
        "growth_in_all": factor ** (deepest - 1),
    }
    for name, depth in (("shallowest", 0), ("deepest", -1)):
        found |= {
            f"{name}.decades": works[depth],
            f"{name}.best": accuracy[depth].max(),
            f"{name}.at_smallest": accuracy[depth, 0],
            f"{name}.at_one": accuracy[depth, middle],
            f"{name}.at_largest": accuracy[depth, -1],
        }
    return found
