"""Section 3.4: the noise of a mini-batch's company, and what Dropout gains with and without BN.

Of the learning rates that a network was trained at, the one with the best mean validation accuracy counts.
What claims compare is by seeds that had no part in that.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.bn_regularizer.protocol import NETWORKS, Profile, best, best_dropout, larger_group
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, accuracies, data_name, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.records import Record
from bnbook.stats import Interval

TENTH = 6  # images: a tenth of the mini-batch
SMALLEST_OF_LAW = 8  # mini-batch from which on the root law is fitted


# Which learning rate


def chosen(results: Results, *network: str) -> list[Record]:
    """The records, by seed, of `network` ("dropout", name, rate) or ("statistics", group) at its best
    learning rate."""
    return results.main[best(results, *network)]


def rates(results: Results) -> list[float]:
    return sorted({float(key[2]) for key in results.main if key[0] == "dropout"})


def groups(results: Results) -> list[int]:
    return sorted({int(key[1]) for key in results.main if key[0] == "statistics"})


def with_dropout(results: Results, network: str, rate: float) -> list[Record]:
    return chosen(results, "dropout", network, f"{rate:g}")


def best_rate(results: Results, network: str) -> float:
    """The rate of Dropout, above 0, with the best mean validation accuracy."""
    return float(best_dropout(results, network)[2])


def gains(results: Results, network: str) -> np.ndarray:
    """Points of test accuracy that Dropout at its best rate adds, by the seed of the grid."""
    dropped = accuracies(with_dropout(results, network, best_rate(results, network)))
    return dropped - accuracies(with_dropout(results, network, 0.0))


def new(results: Results, name: str) -> list[Record]:
    """What new seeds ran: BN "alone", with its best "dropout", or in "company"."""
    return results.main["new", name]


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
            "ko": f"미니배치가 {size}장이면 정규화한 값은 미니배치에 따라 층 순서대로 {shown}만큼 "
            "달라진다(표준 편차).",
            "en": f"In mini-batches of {size} the normalized values spread by {shown}, layer by layer.",
        },
    )


def noise_gains(results: Results) -> np.ndarray:
    """Points of test accuracy with the noise of the mini-batch minus those with nearly none, by new seed."""
    quiet = new(results, "company")
    return accuracies(new(results, "alone")[: len(quiet)]) - accuracies(quiet)


def noise_gain(results: Results) -> Estimate:
    quiet, gains = new(results, "company"), noise_gains(results)
    b, train = accuracies(quiet).mean(), train_accuracies(quiet).mean()
    a = b + gains.mean()
    group, batch = (quiet[0].config[key] for key in ("group", "batch_size"))
    return Estimate(
        stats.mean_interval(gains, resolution=one_image(quiet)),
        {
            "ko": f"테스트 정확도는 통계량을 {batch}장에서 구하면 {a:.2f}%, {group:,}장에서 구하면 "
            f"{b:.2f}%다. {group:,}장에서 구한 쪽의 훈련 정확도는 {train:.1f}%다.",
            "en": f"Test accuracy {a:.2f}% with the statistics of {batch} images, {b:.2f}% "
            f"with those of {group:,}; {train:.1f}% on the training images with the latter.",
        },
    )


def more_noise(results: Results) -> Interval:
    """What statistics over a tenth of the mini-batch gain, ten times the noise: the claim's first rule."""
    whole = noisy(results)[0].config["batch_size"]
    small, large = (chosen(results, "statistics", str(group)) for group in (TENTH, whole))
    return stats.paired_difference(accuracies(small), accuracies(large))


def saved(results: Results) -> np.ndarray:
    """Points of test accuracy of BN without Dropout minus those with it at its best rate, by new seed."""
    return accuracies(new(results, "alone")) - accuracies(new(results, "dropout"))


def without_dropout(results: Results) -> Estimate:
    alone, dropped = (accuracies(new(results, name)).mean() for name in ("alone", "dropout"))
    rate, plain = 100 * new(results, "dropout")[0].config["dropout"], gains(results, "plain").mean()
    return Estimate(
        stats.mean_interval(saved(results), resolution=one_image(new(results, "alone"))),
        {
            "ko": f"배치 정규화만 쓰면 {alone:.2f}%, 드롭아웃 {rate:.0f}%를 더하면 {dropped:.2f}%다. "
            f"배치 정규화가 없을 때 드롭아웃의 이득은 {plain:+.2f}%p다.",
            "en": f"{alone:.2f}% with batch normalization alone, {dropped:.2f}% with Dropout ({rate:.0f}%) "
            f"as well. Without batch normalization Dropout gains {plain:+.2f} points.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "company_changes_answers": company_changes_answers,
    "noise_gain": noise_gain,
    "without_dropout": without_dropout,
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
        "tenth": TENTH,
        "company": larger_group(profile),
        "new_seeds": profile.new_seeds,
        "dropout_bound": -paper.effect("c-3.4-dropout"),
        "noise_effect": paper.effect("c-3.4-generalization"),
        "new_seeds_company": profile.new_seeds_company,
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
        "accuracy": float(accuracies(noisy(results)).mean()),
    }
    for index, m in enumerate(sizes_of(results)):
        found |= interval(f"changed.{m}", stats.mean_interval(changed(results)[index]))
        for layer in layers(results):
            found[f"noise.{m}.layer_{layer}"] = float(spread(results, layer)[index].mean())
        found[f"law.{m}"] = float(law(m))
    for name, index in (("smallest", 0), ("largest", -1)):
        found[f"changed.{name}"] = float(changed(results)[index].mean())
        for layer in layers(results):
            found[f"noise.{name}.layer_{layer}"] = float(spread(results, layer)[index].mean())
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
    own = str(larger_group(results.profile))
    found |= prefixed("statistics.company", described(chosen(results, "statistics", own)))
    for name in ("alone", "dropout", "company"):
        found |= prefixed(f"new.{name}", described(new(results, name)))
    found |= interval("noise_gain", noise_gain(results).interval)
    found |= interval("more_noise", more_noise(results))
    found |= interval("without_dropout", without_dropout(results).interval)
    spared = stats.paired_difference(*(gains(results, network) for network in NETWORKS))
    found |= interval("dropout_spared", spared)
    found |= prefixed("shift", _variance_shift(results))
    plain, bn = (accuracies(with_dropout(results, network, 0.0)) for network in NETWORKS)
    found |= prefixed("bn_alone", interval("points", stats.paired_difference(bn, plain)))
    return found | prefixed("lowest", at_the_lowest_rate(results))


def _variance_shift(results: Results) -> dict[str, Number]:
    """Of BN with its best Dropout: the rate (percent), how many times the variance is while Dropout drops,
    and the points of test accuracy that statistics taken then cost."""
    dropped = [record for record in new(results, "dropout") if not record.diverged]
    cost = [100 * (r.final["test_accuracy"] - r.final["test_accuracy_shifted"]) for r in dropped]
    return {
        "rate": round(100 * dropped[0].config["dropout"]),
        "variance": float(np.mean([r.final["shift"] for r in dropped])),
    } | interval("cost", stats.mean_interval(cost))


def at_the_lowest_rate(results: Results) -> dict[str, Number]:
    """At the lowest learning rate with BN: test accuracy by the statistics of a small group, of the whole
    mini-batch and of the company, and what the small group gains over the mini-batch. No rule judges it: it
    was looked at after the results."""
    sizes = {"small": TENTH, "whole": noisy(results)[0].config["batch_size"]}
    sizes["company"] = larger_group(results.profile)
    lr = min((key[2] for key in results.main if key[0] == "statistics"), key=float)
    found = {name: accuracies(results.main["statistics", str(m), lr]) for name, m in sizes.items()}
    means = {name: float(values.mean()) for name, values in found.items()}
    gain = stats.paired_difference(found["small"], found["whole"])
    return interval("points", gain) | {"lr": float(lr)} | means


def described(records: Sequence[Record]) -> dict[str, Number]:
    """One network: test and training accuracy, the gap between them, and the learning rate chosen for it."""
    train, test = train_accuracies(records), accuracies(records)
    return interval("accuracy", stats.mean_interval(test)) | {
        "train": float(train.mean()),
        "gap": float((train - test).mean()),
        "lr": records[0].config["lr"],
        "diverged": sum(r.diverged for r in records),
    }
