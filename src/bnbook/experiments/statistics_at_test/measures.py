"""After the paper: how much of what corrupted images cost comes back with other statistics."""

from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.protocol import Results
from bnbook.experiments.statistics_at_test import corruptions
from bnbook.experiments.statistics_at_test.corruptions import CLEAN, CORRUPTIONS
from bnbook.experiments.statistics_at_test.protocol import COUNTED, VARIANTS, WAYS, Profile
from bnbook.measures import Estimate, data_name, interval, prefixed
from bnbook.paper import Number
from bnbook.records import Record

SEVERITIES = {name: getattr(corruptions, name.upper()) for name in CORRUPTIONS if name != "inversion"}


def runs(results: Results, variant: str) -> list[Record]:
    """The main runs, by seed."""
    return results.main["main", variant]


def accuracy(results: Results, variant: str, kind: str, way: str = "") -> np.ndarray:
    """Test accuracy in percent on images of that kind, by seed, by the statistics of training or by those of
    `way`; chance where the run diverged."""
    name = f"{kind}_accuracy" + (f"_{way}" if way else "")
    return 100 * np.array(
        [r.final["chance_accuracy" if r.diverged else name] for r in runs(results, variant)]
    )


def corrupted(results: Results, variant: str, way: str = "") -> np.ndarray:
    """The same, mean over the corruptions."""
    return np.mean([accuracy(results, variant, kind, way) for kind in CORRUPTIONS], axis=0)


def lost(results: Results, variant: str) -> np.ndarray:
    """What the corruptions cost, in points, by seed."""
    return accuracy(results, variant, CLEAN) - corrupted(results, variant)


def returned(results: Results, way: str) -> np.ndarray:
    """Percent of that cost which comes back, by seed: (adapted - unadapted) / (clean - unadapted), accuracies
    being means over the corruptions, so that one that costs little has little say."""
    return (
        100 * (corrupted(results, "bn", way) - corrupted(results, "bn")) / _some(lost(results, "bn"), results)
    )


def returned_of(results: Results, kind: str, way: str) -> np.ndarray:
    """The same of one corruption."""
    before = accuracy(results, "bn", kind)
    cost = accuracy(results, "bn", CLEAN) - before
    return 100 * (accuracy(results, "bn", kind, way) - before) / _some(cost, results)


def _some(cost: np.ndarray, results: Results) -> np.ndarray:
    """The cost, no less than an image's: of nothing no share comes back."""
    return np.maximum(cost, one_image(results))


def one_image(results: Results) -> float:
    """What a tested image is worth, in points."""
    return 100 / runs(results, "bn")[0].config["test_images"]


def drift(results: Results, variant: str) -> np.ndarray:
    """(seeds, kinds, layers), in standard deviations, see `training.drift`; of runs that did not diverge."""
    return np.stack([record.arrays["drift"] for record in runs(results, variant) if not record.diverged])


# Statistics


def adaptation(results: Results) -> Estimate:
    found, cost = returned(results, "most"), lost(results, "bn").mean()
    each = {kind: returned_of(results, kind, "most").mean() for kind in CORRUPTIONS}
    ko = ", ".join(f"{KOREAN[kind]} {share:.0f}%" for kind, share in each.items())
    en = ", ".join(f"{kind} {share:.0f}%" for kind, share in each.items())
    return Estimate(
        stats.mean_interval(found),
        {
            "ko": f"변형 때문에 잃은 정확도는 평균 {cost:.1f}%p다. 변형별로 되찾은 몫: {ko}.",
            "en": f"The corruptions cost {cost:.1f} points on average. Returned by corruption: {en}.",
        },
    )


def few_images(results: Results) -> Estimate:
    few, most = returned(results, "few"), returned(results, "most")
    return Estimate(
        stats.mean_interval(few - most / 2),
        {
            "ko": f"되찾은 몫: 적은 이미지로 {few.mean():.1f}%, 많은 이미지로 {most.mean():.1f}%.",
            "en": f"Returned: {few.mean():.1f}% with few images, {most.mean():.1f}% with the most.",
        },
    )


def composition(results: Results) -> Estimate:
    even, alone = (corrupted(results, "bn", way) for way in ("even", "one_class"))
    before = corrupted(results, "bn").mean()
    return Estimate(
        stats.paired_difference(even, alone, resolution=one_image(results)),
        {
            "ko": f"클래스를 고르게 섞으면 {even.mean():.1f}%, 한 클래스뿐이면 {alone.mean():.1f}%, "
            f"적응하지 않으면 {before:.1f}%.",
            "en": f"{even.mean():.1f}% with even classes, {alone.mean():.1f}% with one class, "
            f"{before:.1f}% without adaptation.",
        },
    )


KOREAN = {
    "noise": "잡음",
    "blur": "흐림",
    "contrast": "대비",
    "brightness": "밝기",
    "inversion": "반전",
}

# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "adaptation": adaptation,
    "few_images": few_images,
    "composition": composition,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.new_seeds,
        "steps": profile.steps,
        "batch_size": profile.batch_size,
        "draws": profile.draws,
        "test_images": profile.test_images,
        "corruptions": len(CORRUPTIONS),
        **dict(zip(COUNTED, profile.counts, strict=True)),
        **prefixed("severity", SEVERITIES),
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies and shares in percent, means over seeds."""
    everything = results.records("main")
    found: dict[str, Number] = {"data": data_name(everything), "runs": len(everything)}
    for variant in VARIANTS:
        found |= {
            f"{variant}.lr": runs(results, variant)[0].config["lr"],
            f"{variant}.clean": accuracy(results, variant, CLEAN).mean(),
            f"{variant}.corrupted": corrupted(results, variant).mean(),
            f"{variant}.lost": lost(results, variant).mean(),
        }
        found |= {f"{variant}.{kind}": accuracy(results, variant, kind).mean() for kind in CORRUPTIONS}
        first = drift(results, variant).mean(0)[1:, 0]
        found |= {f"{variant}.{kind}.drift": value for kind, value in zip(CORRUPTIONS, first, strict=True)}
    for way in WAYS:
        found |= prefixed(f"bn.{way}", _by_way(results, way))
    change = accuracy(results, "bn", CLEAN, "most") - accuracy(results, "bn", CLEAN)
    return found | interval("bn.clean_change", stats.mean_interval(change))


def _by_way(results: Results, way: str) -> dict[str, Number]:
    found = {
        "clean": accuracy(results, "bn", CLEAN, way).mean(),
        "corrupted": corrupted(results, "bn", way).mean(),
    } | interval("returned", stats.mean_interval(returned(results, way)))
    for kind in CORRUPTIONS:
        found |= {
            kind: accuracy(results, "bn", kind, way).mean(),
            f"{kind}.returned": returned_of(results, kind, way).mean(),
        }
    return found
