"""After the paper: what small mini-batches and sorted ones do to each normalization."""

from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.protocol import Results
from bnbook.experiments.small_batches.protocol import SORTABLE, VARIANTS, Config, Profile, at
from bnbook.measures import TEST_IMAGES, Estimate, data_name, interval
from bnbook.paper import Number
from bnbook.records import Record

USUAL = 32  # images from which on a mini-batch is of the usual size
MOVING, BATCH, POPULATION, SHUFFLED = "", "_batch", "_population", "_shuffled"  # see `training.answers`


def runs(results: Results, order: str, variant: str, m: int) -> list[Record]:
    """The main runs in mini-batches of `m`, by seed."""
    return results.main["main", order, variant, str(m)]


def accuracy(results: Results, order: str, variant: str, m: int, way: str | None = None) -> np.ndarray:
    """Test accuracy in percent at the end, by seed, by the statistics of `way`; without one BN and ghost BN
    answer by Algorithm 2, the others as they are made for. Chance where the run diverged."""
    found = runs(results, order, variant, m)
    if way is None:
        return 100 * np.array([record.accuracy for record in found])
    return 100 * np.array(
        [r.final["chance_accuracy" if r.diverged else f"test_accuracy{way}"] for r in found]
    )


def usual(profile: Profile) -> list[int]:
    """The sizes from USUAL on, or the largest there is."""
    return [m for m in profile.sizes if m >= USUAL] or [max(profile.sizes)]


def one_image(results: Results) -> float:
    """What a test image is worth, in points."""
    return 100 / TEST_IMAGES[results.profile.data]


def grouped_gain(results: Results, m: int) -> stats.Interval:
    """Group normalization minus BN, in points, paired by seed."""
    gn, bn = (accuracy(results, "shuffled", name, m) for name in ("gn", "bn"))
    return stats.paired_difference(gn, bn, resolution=one_image(results))


def lost(results: Results, variant: str) -> np.ndarray:
    """What the smallest mini-batches cost against the largest, in points, by seed."""
    few, many = min(results.profile.sizes), max(results.profile.sizes)
    return accuracy(results, "shuffled", variant, many) - accuracy(results, "shuffled", variant, few)


def mended(results: Results) -> stats.Interval:
    """In sorted mini-batches: batch renormalization minus BN, in points."""
    m = results.profile.sorted_size
    renorm, bn = (accuracy(results, "sorted", name, m) for name in ("renorm", "bn"))
    return stats.paired_difference(renorm, bn, resolution=one_image(results))


# Statistics


def smallest(results: Results) -> Estimate:
    m = min(results.profile.sizes)
    means = {name: accuracy(results, "shuffled", name, m).mean() for name in ("gn", "bn", "renorm")}
    return Estimate(
        grouped_gain(results, m),
        {
            "ko": f"미니배치 {m}장: 그룹 정규화 {means['gn']:.1f}%, 배치 정규화 {means['bn']:.1f}%, "
            f"배치 재정규화 {means['renorm']:.1f}%.",
            "en": f"Mini-batches of {m}: group normalization {means['gn']:.1f}%, batch normalization "
            f"{means['bn']:.1f}%, batch renormalization {means['renorm']:.1f}%.",
        },
    )


def dependence(results: Results) -> Estimate:
    bn, gn = (lost(results, name) for name in ("bn", "gn"))
    return Estimate(
        stats.paired_difference(bn, gn, resolution=2 * one_image(results)),
        {
            "ko": f"잃는 정확도: 배치 정규화 {bn.mean():.1f}%p, 그룹 정규화 {gn.mean():.1f}%p.",
            "en": f"Batch normalization loses {bn.mean():.1f} points, group normalization {gn.mean():.1f}.",
        },
    )


def of_usual_size(results: Results) -> Estimate:
    sizes = usual(results.profile)
    gn, bn = (
        np.mean([accuracy(results, "shuffled", name, m) for m in sizes], axis=0) for name in ("gn", "bn")
    )
    each = [(m, grouped_gain(results, m).estimate) for m in sizes]
    return Estimate(
        stats.paired_difference(gn, bn, resolution=one_image(results)),
        {
            "ko": "그룹 정규화에서 배치 정규화를 뺀 값: "
            f"{', '.join(f'{m}장 {gap:+.1f}%p' for m, gap in each)}.",
            "en": "Group normalization minus batch normalization: "
            f"{', '.join(f'{gap:+.1f} points at {m}' for m, gap in each)}.",
        },
    )


def renormalization(results: Results) -> Estimate:
    m = results.profile.sorted_size
    means = {name: accuracy(results, "sorted", name, m).mean() for name in SORTABLE}
    apart = accuracy(results, "shuffled", "renorm", m).mean()
    return Estimate(
        mended(results),
        {
            "ko": f"클래스별로 모은 미니배치: 배치 재정규화 {means['renorm']:.1f}%, "
            f"배치 정규화 {means['bn']:.1f}%, 그룹 정규화 {means['gn']:.1f}%. "
            f"섞은 미니배치에서 배치 재정규화는 {apart:.1f}%.",
            "en": f"Sorted mini-batches: batch renormalization {means['renorm']:.1f}%, batch normalization "
            f"{means['bn']:.1f}%, group normalization {means['gn']:.1f}%. Batch renormalization in shuffled "
            f"ones: {apart:.1f}%.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "smallest": smallest,
    "dependence": dependence,
    "of_usual_size": of_usual_size,
    "renormalization": renormalization,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.new_seeds,
        "seeds_decided": profile.new_seeds_decided,
        "images": profile.images,
        "smallest": min(profile.sizes),
        "largest": max(profile.sizes),
        "usual": USUAL,
        "sorted_size": profile.sorted_size,
        "ghost": Config.ghost,
        "groups": profile.groups,
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, means over seeds."""
    profile, everything = results.profile, results.records("main")
    found: dict[str, Number] = {"data": data_name(everything), "runs": len(everything)}
    names = {"smallest": min(profile.sizes), "largest": max(profile.sizes)}
    for variant in VARIANTS:
        present = {**names, **{str(m): m for m in profile.sizes}}
        for name, m in present.items():
            if variant in at(m):
                found |= _ways(results, f"shuffled.{variant}.{name}", "shuffled", variant, m)
        if variant in SORTABLE:
            found |= _ways(results, f"sorted.{variant}", "sorted", variant, profile.sorted_size)
        if variant in at(names["smallest"]):
            found[f"{variant}.lost"] = lost(results, variant).mean()
        if variant in at(names["largest"]):
            found[f"{variant}.lr"] = runs(results, "shuffled", variant, names["largest"])[0].config["lr"]
    found |= interval("smallest_gain", grouped_gain(results, names["smallest"]))
    found |= interval("largest_gain", grouped_gain(results, names["largest"]))
    return found | interval("mended", mended(results))


def _ways(results: Results, prefix: str, order: str, variant: str, m: int) -> dict[str, Number]:
    """The accuracy, and that by each statistic there is."""
    found = {prefix: accuracy(results, order, variant, m).mean()}
    known = runs(results, order, variant, m)[0].final
    for way, name in ((MOVING, "moving"), (BATCH, "batch"), (POPULATION, "population"), (SHUFFLED, "again")):
        if f"test_accuracy{way}" in known:
            found[f"{prefix}.{name}"] = accuracy(results, order, variant, m, way).mean()
    return found
