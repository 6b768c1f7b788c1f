"""Section 3.4: the noise of a mini-batch's company, and what Dropout gains with and without BN.

Of the learning rates that a network was trained at, the one with the best mean validation accuracy counts.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import stats
from bnbook.measures import Estimate, accuracies, data_name, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.protocols.bn_regularizer import NETWORKS, Profile
from bnbook.protocols.grid import Results
from bnbook.records import Record
from bnbook.stats import Interval

JUDGED_GROUP = 6  # a tenth of Section 4.1's mini-batch
SMALLEST_OF_LAW = 8  # mini-batch from which on the root law is fitted


# Which learning rate


def validation(records: Sequence[Record]) -> float:
    """Mean validation accuracy in percent over seeds; chance for a run that diverged."""
    return 100 * float(
        np.mean([r.final.get("validation_accuracy", r.final["chance_accuracy"]) for r in records])
    )


def chosen(results: Results, *network: str) -> list[Record]:
    """The records, by seed, of `network` ("dropout", name, rate) or ("statistics", group) at its best
    learning rate; ties go to the smaller."""
    keys = [key for key in results.main if key[:-1] == network]
    best = max(keys, key=lambda key: (validation(results.main[key]), -float(key[-1])))
    return results.main[best]


def rates(results: Results) -> list[float]:
    return sorted({float(key[2]) for key in results.main if key[0] == "dropout"})


def groups(results: Results) -> list[int]:
    return sorted({int(key[1]) for key in results.main if key[0] == "statistics"})


def with_dropout(results: Results, network: str, rate: float) -> list[Record]:
    return chosen(results, "dropout", network, f"{rate:g}")


def best_rate(results: Results, network: str) -> float:
    """The rate of Dropout, above 0, with the best mean validation accuracy."""
    return max(
        (rate for rate in rates(results) if rate > 0),
        key=lambda rate: validation(with_dropout(results, network, rate)),
    )


def gains(results: Results, network: str) -> np.ndarray:
    """Points of test accuracy that Dropout at its best rate adds, by seed."""
    best = accuracies(with_dropout(results, network, best_rate(results, network)))
    return best - accuracies(with_dropout(results, network, 0.0))


def train_accuracies(records: Sequence[Record]) -> np.ndarray:
    """On the images trained on, in percent at the end without Dropout, by seed."""
    return 100 * np.array([r.final.get("train_accuracy", r.final["chance_accuracy"]) for r in records])


# The noise


def noisy(results: Results) -> list[Record]:
    return results.main["noise", "bn"]


def sizes_of(results: Results) -> list[int]:
    """Of the mini-batches that examples were put into."""
    return list(noisy(results)[0].config["sizes"])


def layers(results: Results) -> range:
    return range(1, noisy(results)[0].config["depth"] + 1)


def spread(results: Results, layer: int) -> np.ndarray:
    """(sizes, seeds): standard deviation of an example's x_hat over random mini-batches."""
    return np.array(
        [[r.final[f"noise_{m}_layer_{layer}"] for r in noisy(results)] for m in sizes_of(results)]
    )


def changed(results: Results) -> np.ndarray:
    """(sizes, seeds): percent of answers that the company changes."""
    return 100 * np.array([[r.final[f"changed_{m}"] for r in noisy(results)] for m in sizes_of(results)])


def exponent(results: Results, layer: int) -> Interval:
    """p of "the spread falls as m^p", least squares on logarithms from SMALLEST_OF_LAW on; the law: -1/2."""
    m = np.array(sizes_of(results), dtype=float)
    kept = m >= SMALLEST_OF_LAW
    found = np.log(spread(results, layer)[kept])
    return stats.mean_interval([np.polyfit(np.log(m[kept]), one, 1)[0] for one in found.T])


def law(m: np.ndarray, kurtosis: float = 3.0) -> np.ndarray:
    """The spread of x_hat over random mini-batches of large size m: the mean of the mini-batch errs by 1/m of
    the variance, its standard deviation by (kurtosis - 1) / 4m, felt in proportion to x_hat."""
    return np.sqrt((1 + (kurtosis - 1) / 4) / np.asarray(m, dtype=float))


# Statistics


def company_changes_answers(results: Results) -> Estimate:
    size = noisy(results)[0].config["batch_size"]
    place = sizes_of(results).index(size)
    noises = [spread(results, layer)[place].mean() for layer in layers(results)]
    shown = ", ".join(f"{value:.2f}" for value in noises)
    return Estimate(
        stats.mean_interval(changed(results)[place]),
        {
            "ko": f"미니배치 {size}에서 정규화한 값의 퍼짐은 층의 순서대로 {shown}이다.",
            "en": f"In mini-batches of {size} the normalized values spread by {shown}, layer by layer.",
        },
    )


def noise_gain(results: Results) -> Estimate:
    whole = noisy(results)[0].config["batch_size"]
    small, large = (chosen(results, "statistics", str(group)) for group in (JUDGED_GROUP, whole))
    train = train_accuracies(small).mean()
    return Estimate(
        stats.paired_difference(accuracies(small), accuracies(large), resolution=one_image(small)),
        {
            "ko": f"테스트 정확도 {accuracies(small).mean():.2f}%와 {accuracies(large).mean():.2f}%. "
            f"통계를 {JUDGED_GROUP}개에서 낸 쪽의 훈련 정확도는 {train:.1f}%이다.",
            "en": f"Test accuracy {accuracies(small).mean():.2f}% and {accuracies(large).mean():.2f}%; "
            f"{train:.1f}% on the training images with the statistics of {JUDGED_GROUP}.",
        },
    )


def dropout_spared(results: Results) -> Estimate:
    plain, bn = (gains(results, network) for network in NETWORKS)
    best = {network: 100 * best_rate(results, network) for network in NETWORKS}
    return Estimate(
        # Each gain is a difference of two accuracies.
        stats.paired_difference(plain, bn, resolution=2 * one_image(results.records("main"))),
        {
            "ko": f"드롭아웃의 이득은 배치 정규화 없이 {plain.mean():+.2f}%p(드롭아웃 {best['plain']:.0f}%), "
            f"있으면 {bn.mean():+.2f}%p({best['bn']:.0f}%)이다.",
            "en": f"Dropout gains {plain.mean():+.2f} points without BN (at {best['plain']:.0f}%) and "
            f"{bn.mean():+.2f} with it (at {best['bn']:.0f}%).",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "company_changes_answers": company_changes_answers,
    "noise_gain": noise_gain,
    "dropout_spared": dropout_spared,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "images": profile.images,
        "batch_size": profile.batch_size,
        "steps": profile.steps,
        "epochs": profile.steps // (profile.images // profile.batch_size),
        "noise_steps": profile.noise_steps,
        "examples": profile.examples,
        "companies": profile.companies,
        "smallest": min(profile.sizes),
        "largest": max(profile.sizes),
        "judged_group": JUDGED_GROUP,
        "rates": [round(100 * rate) for rate in profile.rates],
        "groups": [*profile.groups, profile.batch_size],
        "lrs.plain": list(profile.lrs["plain"]),
        "lrs.bn": list(profile.lrs["bn"]),
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gains in points, rates of Dropout in percent."""
    everything = {(r.run_id, r.seed): r for r in results.records("main")}.values()
    found: dict[str, Number] = {
        "data": data_name(noisy(results)),
        "runs": len(everything),
        "minutes": sum(record.provenance["seconds"] for record in everything) / 60,
        "accuracy": float(accuracies(noisy(results)).mean()),
    }
    for place, m in enumerate(sizes_of(results)):
        found |= interval(f"changed.{m}", stats.mean_interval(changed(results)[place]))
        for layer in layers(results):
            found[f"noise.{m}.layer_{layer}"] = float(spread(results, layer)[place].mean())
        found[f"law.{m}"] = float(law(m))
    for name, place in (("smallest", 0), ("largest", -1)):
        found[f"changed.{name}"] = float(changed(results)[place].mean())
        for layer in layers(results):
            found[f"noise.{name}.layer_{layer}"] = float(spread(results, layer)[place].mean())
    for layer in layers(results):
        found |= interval(f"exponent.layer_{layer}", exponent(results, layer))
        found[f"kurtosis.layer_{layer}"] = float(
            np.mean([r.final[f"kurtosis_layer_{layer}"] for r in noisy(results)])
        )
    for network in NETWORKS:
        for rate in rates(results):
            records = with_dropout(results, network, rate)
            found |= prefixed(f"dropout.{network}.{round(100 * rate)}", described(records))
        found |= prefixed(f"gain.{network}", interval("points", stats.mean_interval(gains(results, network))))
        found[f"gain.{network}.rate"] = round(100 * best_rate(results, network))
    for group in groups(results):
        found |= prefixed(f"statistics.{group}", described(chosen(results, "statistics", str(group))))
    plain, bn = (accuracies(with_dropout(results, network, 0.0)) for network in NETWORKS)
    found |= prefixed("bn_alone", interval("points", stats.paired_difference(bn, plain)))
    return found | prefixed("lowest", at_the_lowest_rate(results))


def at_the_lowest_rate(results: Results) -> dict[str, Number]:
    """At the lowest learning rate with BN: test accuracy by the statistics of the whole mini-batch and of the
    small group, and what the small group gains. No rule judges it: it was looked at after the results."""
    whole = noisy(results)[0].config["batch_size"]
    lr = min((key[2] for key in results.main if key[0] == "statistics"), key=float)
    small, large = (accuracies(results.main["statistics", str(m), lr]) for m in (JUDGED_GROUP, whole))
    gain = interval("points", stats.paired_difference(small, large))
    return gain | {"lr": float(lr), "small": float(small.mean()), "whole": float(large.mean())}


def described(records: Sequence[Record]) -> dict[str, Number]:
    """One network: test and training accuracy, the gap between them, and the learning rate chosen for it."""
    train, test = train_accuracies(records), accuracies(records)
    return interval("accuracy", stats.mean_interval(test)) | {
        "train": float(train.mean()),
        "gap": float((train - test).mean()),
        "lr": records[0].config["lr"],
        "diverged": sum(r.diverged for r in records),
    }
