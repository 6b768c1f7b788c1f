"""After the paper: what batch normalization gains at the same rate and at its own; how networks diverge.

Accuracies are in percent.
"""

from collections.abc import Callable

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.learning_rate_share.protocol import CONVERGED, NETWORKS, OWN, Profile, rates
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, accuracies, data_name, interval, one_image, prefixed
from bnbook.paper import Number, Text
from bnbook.records import Record

DIED = 0.01  # of the last layer's first output; looked into after the results were seen, and decides nothing


def at(results: Results, network: str, lr: float) -> list[Record]:
    """The records of new seeds at a matched rate."""
    return next(found for key, found in results.main.items() if key[:3] == ("net", network, f"{lr:g}"))


def own(results: Results, network: str) -> list[Record]:
    """Those at the network's own rate."""
    return next(found for key, found in results.main.items() if key[:2] + key[3:] == ("net", network, OWN))


def matched(results: Results, network: str) -> np.ndarray:
    """Test accuracy at the end, mean over the matched rates, by seed."""
    return np.mean([accuracies(at(results, network, lr)) for lr in results.profile.matched], axis=0)


def converged(records: list[Record]) -> np.ndarray:
    """Whether each run has got its training images right."""
    return np.array([not r.diverged and r.final["train_accuracy"] >= CONVERGED for r in records])


def unconverged(results: Results) -> int:
    """How many of the runs at matched rates have not converged."""
    found = [at(results, network, lr) for network in NETWORKS for lr in results.profile.matched]
    return sum(int((~converged(records)).sum()) for records in found)


# The first steps


def started(results: Results, network: str) -> list[Record]:
    """The first steps at BN's own rate."""
    return next(found for key, found in results.main.items() if key[:2] + key[3:] == ("start", network, OWN))


def start_rates(results: Results) -> list[float]:
    return sorted({float(key[2]) for key in results.main if key[0] == "start"})


def start_at(results: Results, network: str, lr: float) -> list[Record]:
    return next(found for key, found in results.main.items() if key[:3] == ("start", network, f"{lr:g}"))


def decades_grown(record: Record, what: str = "activation") -> float:
    """By how many powers of ten the last layer's output (or the first layer's gradient) was larger at its
    largest than before the first step. What is infinite counts as the largest float32: there the numbers
    end."""
    values = np.minimum(record.arrays[what], np.finfo(np.float32).max)
    layer = values[:, -1 if what == "activation" else 0]
    return float(np.log10(layer.max() / layer[0]))


def lost(record: Record) -> bool:
    """Whether the loss was no number any more within the first steps."""
    return record.diverged


def died(record: Record) -> bool:
    """Whether hardly anything is left of the last layer's output after the first steps, though the loss is a
    number: the other way in which a step can be too large."""
    output = record.arrays["activation"][:, -1]
    return not lost(record) and bool(output[-1] < DIED * output[0])


def fate(record: Record) -> str:
    """ "exploded", "died" or "kept" (its size, about): what became of the last layer's output."""
    return "exploded" if lost(record) else "died" if died(record) else "kept"


# Statistics


def matched_gap(results: Results) -> Estimate:
    bn, plain = matched(results, "bn"), matched(results, "plain")
    by_rate = [
        (lr, accuracies(at(results, "plain", lr)).mean(), accuracies(at(results, "bn", lr)).mean())
        for lr in results.profile.matched
    ]
    ko = "; ".join(f"{lr:g}에서 {a:.1f}%와 {b:.1f}%" for lr, a, b in by_rate)
    en = "; ".join(f"{a:.1f}% and {b:.1f}% at {lr:g}" for lr, a, b in by_rate)
    left = unconverged(results)
    caveat: Text | None = None
    if left:
        caveat = {
            "ko": f"수렴하지 않은 학습이 {left}개 있다.",
            "en": f"{left} of the runs have not converged.",
        }
    return Estimate(
        stats.paired_difference(plain, bn, resolution=_resolution(results)),
        {
            "ko": f"배치 정규화가 없을 때와 있을 때의 테스트 정확도: {ko}.",
            "en": f"Test accuracy without and with batch normalization: {en}.",
        },
        caveat=caveat,
    )


def rate_share(results: Results) -> Estimate:
    plain, bn, best = matched(results, "plain"), matched(results, "bn"), accuracies(own(results, "bn"))
    by_rate, by_bn = best - bn, bn - plain
    lr, of_all = own(results, "bn")[0].config["lr"], ("", "")
    if by_bn.mean() >= 0 and by_rate.mean() > 0:  # a share only where both parts are gains
        share = 100 * by_rate.mean() / (best - plain).mean()
        of_all = f"(전체의 {share:.0f}%)", f" ({share:.0f}% of all)"
    return Estimate(
        stats.paired_difference(by_rate, by_bn, resolution=2 * _resolution(results)),
        {
            "ko": f"배치 정규화로 달라지는 것은 같은 학습률에서 {by_bn.mean():+.1f}%p, "
            f"학습률을 {lr:g}까지 올려서 {by_rate.mean():+.1f}%p다{of_all[0]}.",
            "en": f"What batch normalization changes is {by_bn.mean():+.1f} points at the same rates, and "
            f"{by_rate.mean():+.1f} by going on to {lr:g}{of_all[1]}.",
        },
    )


def divergence(results: Results) -> Estimate:
    plain, bn = (np.array([decades_grown(r) for r in started(results, name)]) for name in NETWORKS)
    gone, n = sum(map(lost, started(results, "plain"))), len(plain)
    lr = started(results, "bn")[0].config["lr"]
    return Estimate(
        stats.paired_difference(plain, bn),
        {
            "ko": f"학습률 {lr:g}에서 마지막 층의 출력은 배치 정규화가 없으면 10의 {plain.mean():.1f}제곱배, "
            f"있으면 {bn.mean():.1f}제곱배까지 커진다. 배치 정규화가 없는 {n}개 가운데 {gone}개는 "
            "손실이 무한대가 된다.",
            "en": f"At the rate {lr:g} the last layer's output grows to 10 to the {plain.mean():.1f} of its "
            f"first size without batch normalization, to the {bn.mean():.1f} with it; "
            f"without it {gone} of {n} losses go to infinity.",
        },
    )


def _resolution(results: Results) -> float:
    return one_image(own(results, "bn"))


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "matched_gap": matched_gap,
    "rate_share": rate_share,
    "divergence": divergence,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "new_seeds": profile.new_seeds,
        "steps": profile.steps,
        "start_steps": profile.start_steps,
        "images": profile.images,
        "epochs": profile.steps // max(1, profile.images // profile.batch_size),
        "batch_size": profile.batch_size,
        "width": profile.width,
        "pool": profile.pool,
        "matched": list(profile.matched),
        "matched_low": min(profile.matched),
        "matched_high": max(profile.matched),
        "lrs.plain": list(rates(profile, "plain")),
        "lrs.bn": list(rates(profile, "bn")),
        "converged": 100 * CONVERGED,
        "matched_bound": -paper.effect("c-after-rate-matched"),
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key: accuracies in percent, differences in points."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len(everything),
        "unconverged": unconverged(results),
    }
    for network in NETWORKS:
        groups = {f"{lr:g}": at(results, network, lr) for lr in results.profile.matched}
        for name, records in (groups | {OWN: own(results, network)}).items():
            found |= prefixed(f"{network}.{name}", _of_group(records))
        found |= interval(f"{network}.matched", stats.mean_interval(matched(results, network)))
        for lr in rates(results.profile, network):
            (first, *_) = results.main["rate", network, f"{lr:g}"]
            found[f"rate.{network}.{lr:g}"] = 100 * first.final.get(
                "validation_accuracy", first.final["chance_accuracy"]
            )
        for lr in start_rates(results):
            found |= prefixed(f"start.{network}.{lr:g}", _of_start(start_at(results, network, lr)))
        found |= prefixed(f"start.{network}.{OWN}", _of_start(started(results, network)))
    for name, statistic in STATISTICS.items():
        found |= interval(name, statistic(results).interval)
    return found


def _of_group(records: list[Record]) -> dict[str, Number]:
    train = [100 * r.final["chance_accuracy" if r.diverged else "train_accuracy"] for r in records]
    return interval("accuracy", stats.mean_interval(accuracies(records))) | {
        "train": float(np.mean(train)),
        "lr": records[0].config["lr"],
        "converged": int(converged(records).sum()),
        "diverged": sum(r.diverged for r in records),
    }


def _of_start(records: list[Record]) -> dict[str, Number]:
    return {
        "activation_decades": float(np.mean([decades_grown(r) for r in records])),
        "gradient_decades": float(np.mean([decades_grown(r, "gradient") for r in records])),
        "lost": sum(map(lost, records)),
        "died": sum(map(died, records)),
        "steps": float(np.median([r.outcome["step"] for r in records])),
    }
