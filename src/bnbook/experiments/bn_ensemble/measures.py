"""Section 4.2.3: what is measured in the test probabilities of the ensemble's members.

Error rates are top-1, in percent. The members are given, so intervals are over test images: they say how an
error rate would vary with other images, not with other networks.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from bnbook import stats
from bnbook.config import ConfigError
from bnbook.experiments.bn_ensemble.protocol import MEMBERS, Profile
from bnbook.experiments.inception_first.measures import best
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.measures import Estimate, data_name, interval, prefixed
from bnbook.paper import Number, effect
from bnbook.records import Record
from bnbook.stats import Interval

CROPS = ("single", "multicrop")
GROUPS = ("members", "control")
BINS = 15  # of confidence, equally wide
LEAST = 20  # images that a bin must have to be drawn: the share of right answers among fewer is noise


def labels(records: Sequence[Record]) -> np.ndarray:
    """(N,) the test images' classes, from the first network that did not diverge. Raises ConfigError where
    all of them did."""
    found = [record for record in records if not record.diverged]
    if not found:
        raise ConfigError("every network diverged, so there is nothing to average; try a lower learning rate")
    return found[0].arrays["labels"].astype(int)


def probabilities(records: Sequence[Record], crops: str) -> np.ndarray:
    """(networks, N, classes) test probabilities by "single" crop or "multicrop"; a network that diverged
    answers nothing: all classes alike."""
    shape = next(record.arrays[crops].shape for record in records if not record.diverged)
    silent = np.full(shape, 1 / shape[1])
    return np.stack([silent if r.diverged else r.arrays[crops].astype(float) for r in records])


def choose(members: str | int, count: int) -> list[int]:
    """The places, from 0, that "1,3,6" (or a number alone) names among `count` networks; "all" names every
    one.

    Raises ConfigError on anything else.
    """
    if members == "all":
        return list(range(count))
    named = [part.strip() for part in str(members).split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= count for part in named):
        raise ConfigError(f"members is {members!r}; it must be all, or numbers from 1 to {count} such as 1,2")
    return sorted({int(part) - 1 for part in named})


def wrong(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(..., N, classes) -> (..., N): which answers are wrong."""
    return probabilities.argmax(-1) != labels


def error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 error in percent of one network, or of one ensemble's mean."""
    return 100 * float(wrong(probabilities, labels).mean())


def errors_by_size(probabilities: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """For every size from 1 on, the errors of all ensembles of that size, in percent: all subsets, so that no
    choice of members flatters."""

    def errors(size: int) -> np.ndarray:
        subsets = itertools.combinations(probabilities, size)
        return np.array([error(np.mean(subset, axis=0), labels) for subset in subsets])

    return [errors(size) for size in range(1, len(probabilities) + 1)]


def gain_by_image(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By image, in points: how often single networks err on it, less whether their ensemble does."""
    return 100 * (wrong(probabilities, labels).mean(0) - wrong(probabilities.mean(0), labels))


def disagreement(probabilities: np.ndarray) -> np.ndarray:
    """(networks, networks): the share of images, in percent, on which two give different answers."""
    answers = probabilities.argmax(-1)
    return 100 * (answers[:, None] != answers[None]).mean(-1)


def mean_disagreement(probabilities: np.ndarray) -> float:
    """Over all pairs of different networks, in percent; NaN for a single network."""
    if len(probabilities) < 2:
        return float("nan")
    pairs = disagreement(probabilities)[np.triu_indices(len(probabilities), k=1)]
    return float(pairs.mean())


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By bin of confidence, BINS of them: mean confidence, accuracy (0 to 1, NaN where empty), share."""
    confidence = probabilities.max(-1)
    right = ~wrong(probabilities, labels)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        sums = (np.bincount(place, weights=values, minlength=BINS) / count for values in (confidence, right))
        return (*sums, count / len(labels))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error in points: the gap between confidence and accuracy, averaged over images."""
    confidence, accuracy, share = reliability(probabilities, labels)
    return 100 * float(np.nansum(np.abs(confidence - accuracy) * share))


def mean_confidence(probabilities: np.ndarray) -> float:
    """(..., N, classes): the highest probability, averaged over images and networks, in percent."""
    return 100 * float(probabilities.max(-1).mean())


# Statistics


def ensemble_gain(results: Results, group: str = "members", crops: str = "multicrop") -> Estimate:
    """Mean error of the single networks minus that of all of them together, in points, over test images."""
    found = probabilities(results.main[group], crops)
    truth = labels(results.main[group])
    single = float(np.mean([error(one, truth) for one in found]))
    together = error(found.mean(0), truth)
    return _over_images(
        stats.mean_interval(gain_by_image(found, truth)),
        f"{single:.2f}%에서 {together:.2f}%로.",
        f"From {single:.2f}% to {together:.2f}%.",
        len(found),
    )


def multicrop_gain(results: Results) -> Estimate:
    """Mean error of the single networks by one crop minus that by ten, in points, over test images."""
    truth = labels(results.main["members"])
    missed = [wrong(probabilities(results.main["members"], crops), truth).mean(0) for crops in CROPS]
    one, ten = (100 * float(rate.mean()) for rate in missed)
    return _over_images(
        stats.mean_interval(100 * (missed[0] - missed[1])),
        f"{one:.2f}%에서 {ten:.2f}%로.",
        f"From {one:.2f}% to {ten:.2f}%.",
        len(results.main["members"]),
    )


def _over_images(found: Interval, ko: str, en: str, networks: int) -> Estimate:
    return Estimate(
        found,
        {
            "ko": f"{ko} 이 네트워크 {networks}개에 대한 구간이며, 다른 네트워크로 일반화할 수 없다.",
            "en": f"{en} The interval holds for these {networks} networks, not for others.",
        },
        over={"ko": f"테스트 이미지 {found.n:,}장", "en": f"{found.n:,} test images"},
    )


def diversity_gain(results: Results) -> Interval:
    """The members' gain from averaging minus the control's, in points, over test images."""
    truth = labels(results.main["members"])
    by_image = [gain_by_image(probabilities(results.main[group], "multicrop"), truth) for group in GROUPS]
    return stats.paired_difference(*by_image)


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "ensemble_gain": ensemble_gain,
    "multicrop_gain": multicrop_gain,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "networks": profile.members,
        "epochs": profile.changed_epochs,
        "crops": 10,
        "bin_least": LEAST,
        "init_scale": max(member.get("init_scale", 1.0) for member in MEMBERS),
    } | {
        f"member_{number}.dropout": round(100 * member["dropout"])
        for number, member in enumerate(MEMBERS, start=1)
        if "dropout" in member
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; errors, accuracies, disagreement, confidence and calibration errors in percent."""
    everything = results.records("main")
    truth = labels(results.main["members"])
    found: dict[str, Number] = {
        "data": data_name(results.main["members"]),
        "runs": len(everything),
        "images": len(truth),
        "diverged": sum(record.diverged for record in everything),
        "effect": float(effect("c-4.2.3-ensemble")),
    }
    for group in GROUPS:
        # The highest during training, as Section 4.2 counts it, to stand beside its networks.
        found[f"{group}.best"] = float(np.mean([best(record) for record in results.main[group]]))
    for group, crops in itertools.product(GROUPS, CROPS):
        known = probabilities(results.main[group], crops)
        by_size = errors_by_size(known, truth)
        together = known.mean(0)
        found |= prefixed(
            f"{group}.{crops}",
            {
                "single": float(by_size[0].mean()),
                "best_single": float(by_size[0].min()),
                "worst_single": float(by_size[0].max()),
                "pair": float(by_size[1].mean()),
                "ensemble": float(by_size[-1][0]),
                "disagreement": mean_disagreement(known),
                "single_calibration": float(np.mean([calibration_error(one, truth) for one in known])),
                "ensemble_calibration": calibration_error(together, truth),
                "single_confidence": mean_confidence(known),
                "ensemble_confidence": mean_confidence(together),
            }
            | {f"network_{number}": error(one, truth) for number, one in enumerate(known, start=1)}
            | interval("gain", ensemble_gain(results, group, crops).interval),
        )
    return found | interval("diversity", diversity_gain(results))
