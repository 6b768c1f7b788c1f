"""After the paper: what gamma and beta can do alone, and which features they switch off."""

from collections.abc import Callable

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.only_gamma_beta import protocol
from bnbook.experiments.only_gamma_beta.protocol import ARMS, NEAR_ZERO, PER_CHANNEL, Profile
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, accuracies, data_name, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.records import Record

OTHER_THRESHOLDS = (0.003, 0.03, 0.1)  # to see whether NEAR_ZERO decides the result
Size = tuple[int, int]  # (depth, width)


def deciding(results: Results) -> Size:
    return results.profile.depth, results.profile.width


def by_depth(results: Results) -> list[Size]:
    """The networks of the deciding width, from the shallowest."""
    return [size for size in protocol.sizes(results.profile) if size[1] == results.profile.width]


def by_width(results: Results) -> list[Size]:
    """Those of the deciding depth, from the narrowest."""
    return sorted(size for size in protocol.sizes(results.profile) if size[0] == results.profile.depth)


def runs(results: Results, arm: str, size: Size | None = None) -> list[Record]:
    """The main runs of an arm, of the size that decides unless told, by seed."""
    return results.main["main", arm, *map(str, size or deciding(results))]


def near_zero(
    results: Results, arm: str, size: Size | None = None, at: str = "gamma", below: float = NEAR_ZERO
) -> np.ndarray:
    """The share of gammas `below` in size, in percent, by seed; at the end or, `at` "gamma_start", before."""
    return np.array([_share(record.arrays[at], below) for record in runs(results, arm, size)])


def _share(gammas: np.ndarray, below: float) -> float:
    """Of gammas `below` in size, in percent."""
    return 100 * float((np.abs(gammas) < below).mean())


def halfway(results: Results) -> np.ndarray:
    """That of gamma and beta alone after half of the steps, by seed: where it is far from that of the end, it
    has not come to rest."""
    found = []
    for record in runs(results, "gamma_beta"):
        columns = record.curves["gammas"]
        found.append(np.interp(record.config["steps"] / 2, columns["step"], columns["near_zero"]))
    return 100 * np.array(found)


def tried(results: Results, arm: str) -> list[list[Record]]:
    """The runs that chose an arm's learning rate, a list a rate."""
    return [records for (stage, ours, *_), records in results.main.items() if (stage, ours) == ("grid", arm)]


# Statistics


def over_random(results: Results) -> Estimate:
    ours, random = (runs(results, arm) for arm in ("gamma_beta", "random"))
    count = int(ours[0].final["parameters"])
    means = [accuracies(records).mean() for records in (ours, random)]
    return Estimate(
        stats.paired_difference(accuracies(ours), accuracies(random), resolution=one_image(ours)),
        {
            "ko": f"파라미터 {count:,}개씩: γ와 β {means[0]:.1f}%, 무작위로 고른 가중치 {means[1]:.1f}%.",
            "en": f"{count:,} parameters each: gamma and beta {means[0]:.1f}%, weights drawn at random "
            f"{means[1]:.1f}%.",
        },
    )


def depth_gain(results: Results) -> Estimate:
    return _gain(results, by_depth(results), {"ko": "깊이", "en": "depth"}, 0)


def switched_off(results: Results) -> Estimate:
    start, end = (near_zero(results, "gamma_beta", at=at) for at in ("gamma_start", "gamma"))
    return Estimate(
        stats.paired_difference(end, start),
        {
            "ko": f"0에 가까운 γ: 처음 {start.mean():.1f}%, 절반 지점 {halfway(results).mean():.1f}%, "
            f"마지막 {end.mean():.1f}%.",
            "en": f"Gammas near 0: {start.mean():.1f}% at the start, {halfway(results).mean():.1f}% halfway, "
            f"{end.mean():.1f}% at the end.",
        },
    )


def _gain(results: Results, sizes: list[Size], word: dict[str, str], part: int) -> Estimate:
    """Accuracy of gamma and beta alone in the last of `sizes` less that in the first."""
    found = [accuracies(runs(results, "gamma_beta", size)) for size in sizes]
    each = {
        lang: ", ".join(
            f"{name} {size[part]}: {values.mean():.1f}%" for size, values in zip(sizes, found, strict=True)
        )
        for lang, name in word.items()
    }
    return Estimate(
        stats.paired_difference(
            found[-1], found[0], resolution=one_image(runs(results, "gamma_beta", sizes[0]))
        ),
        {"ko": f"{each['ko']}.", "en": f"{each['en'].capitalize()}."},
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "over_random": over_random,
    "depth_gain": depth_gain,
    "switched_off": switched_off,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    depths = [depth for depth, width in protocol.sizes(profile) if width == profile.width]
    widths = sorted(width for depth, width in protocol.sizes(profile) if depth == profile.depth)
    return {
        "seeds": profile.new_seeds,
        "seeds_elsewhere": profile.new_seeds_elsewhere,
        "choosing_seeds": profile.seeds,
        "steps": profile.steps,
        "batch_size": profile.batch_size,
        "depth": profile.depth,
        "width": profile.width,
        "depths": depths,
        "widths": widths,
        "shallowest": depths[0],
        "deepest": depths[-1],
        "narrowest": widths[0],
        "widest": widths[-1],
        "per_channel": PER_CHANNEL,
        "near_zero": NEAR_ZERO,
        "over_random_effect": paper.effect("c-after-gamma-beta-random"),
    } | {f"{arm}.lrs": list(lrs) for arm, lrs in profile.lrs.items()}


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies and shares in percent. "<arm>.…" is of the size that decides, and
    "<arm>.<depth>_<width>.…" of any; "tried" is what the
    rates were chosen by, "zeroed_tells" in how many seeds accuracy is another with small gammas at 0."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len(everything),
        "diverged": sum(record.diverged for record in everything),
    }
    for arm in ARMS:
        found |= prefixed(arm, _of(results, arm, deciding(results)))
        found[f"{arm}.lr"] = runs(results, arm)[0].config["lr"]
        by_rate = [100 * protocol.validation(records) for records in tried(results, arm)]
        found |= {f"{arm}.tried_worst": min(by_rate), f"{arm}.tried_best": max(by_rate)}
        for depth, width in protocol.sizes(results.profile):
            found |= prefixed(f"{arm}.{depth}_{width}", _of(results, arm, (depth, width)))
    found["share_of_parameters"] = 100 * found["gamma_beta.parameters"] / found["all.parameters"]
    found["halfway.near_zero"] = float(halfway(results).mean())
    found["gamma_beta.negative"] = float(
        np.mean([100 * (record.arrays["gamma"] < 0).mean() for record in runs(results, "gamma_beta")])
    )
    found["tried.near_zero_most"] = max(
        float(np.mean([_share(record.arrays["gamma"], NEAR_ZERO) for record in records]))
        for records in tried(results, "gamma_beta")
    )
    over_output = [accuracies(runs(results, arm)) for arm in ("gamma_beta", "output")]
    found |= interval("over_output", stats.paired_difference(*over_output))
    width_gain = _gain(results, by_width(results), {"ko": "", "en": ""}, 1).interval
    found |= interval("width_gain", width_gain)
    for name, statistic in STATISTICS.items():
        found |= interval(name, statistic(results).interval)
    return found


def _of(results: Results, arm: str, size: Size) -> dict[str, Number]:
    records = runs(results, arm, size)
    ours: dict[str, Number] = {"parameters": int(records[0].final["parameters"])}
    ours |= interval("accuracy", stats.mean_interval(accuracies(records)))
    zeroed = [record.final.get("test_accuracy_zeroed", record.accuracy) for record in records]
    ours["zeroed_loss"] = float(accuracies(records).mean() - 100 * np.mean(zeroed))
    ours["zeroed_tells"] = sum(
        after != record.accuracy for record, after in zip(records, zeroed, strict=True)
    )
    ours["near_zero_start"] = float(near_zero(results, arm, size, at="gamma_start").mean())
    ours["near_zero"] = float(near_zero(results, arm, size).mean())
    for below in OTHER_THRESHOLDS:
        key = f"below_{below:g}".replace(".", "_")
        ours[f"{key}_start"] = float(near_zero(results, arm, size, at="gamma_start", below=below).mean())
        ours[key] = float(near_zero(results, arm, size, below=below).mean())
    return ours
