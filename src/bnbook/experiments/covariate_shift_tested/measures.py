"""Santurkar et al. 2018: how fast the three networks are, how much their inputs drift, and what lies along a
step."""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.covariate_shift_tested import protocol
from bnbook.experiments.covariate_shift_tested.protocol import (
    FACTORS,
    LEAD,
    NOISE,
    PHASE_FROM,
    VARIANTS,
    Profile,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import (
    Crossing,
    Estimate,
    accuracies,
    crossing,
    data_name,
    grid_factor,
    interval,
    one_image,
    prefixed,
)
from bnbook.paper import Number
from bnbook.records import Record

KEPT = 0.8  # of the logarithm of BN's speed-up, that the noisy network is asked for
CLEAR = 1.2  # times: BN has to be faster by as much, or there is no speed-up to keep


# The runs


def rates(results: Results) -> list[float]:
    return sorted({float(key[1]) for key in results.main if key[0] in VARIANTS})


def runs(results: Results, variant: str, rate: float) -> list[Record]:
    """The main runs, by seed."""
    return results.main[variant, f"{rate:g}"]


def target(results: Results) -> int:
    """Percent of test accuracy that runs are timed to, as the pilot has it."""
    return protocol.target(results)


def crossings(results: Results, variant: str) -> list[list[Crossing]]:
    """When the runs reach the target, by rate and seed."""
    goal = target(results)
    return [[crossing(r, goal) for r in runs(results, variant, rate)] for rate in rates(results)]


def log_steps(results: Results, variant: str) -> np.ndarray:
    """(rates, seeds): the logarithm of the steps to the target, or of all steps."""
    return np.log([[one.step for one in row] for row in crossings(results, variant)])


def drifts(results: Results, variant: str) -> np.ndarray:
    """(rates, seeds): drift of the last sigmoids' inputs as Section 4.1 measures it, median over units; NaN
    where the run diverged."""
    nothing = float("nan")
    return np.array(
        [[r.final.get("drift", nothing) for r in runs(results, variant, rate)] for rate in rates(results)]
    )


# Along the step


def column(record: Record, name: str) -> np.ndarray:
    """A column of the landscape; NaN where it was not finite."""
    return np.array(record.curves["landscape"].get(name, []), dtype=float)


def layers(record: Record) -> range:
    """Those with a layer below, the output layer the last."""
    return range(2, record.config["depth"] + 2)


def shift(record: Record) -> np.ndarray:
    """By probe: the change of a layer's gradient when the layers below have made their step, over the
    gradient, geometric mean over layers."""
    shares = [column(record, f"shift_{k}") / column(record, f"gradient_{k}") for k in layers(record)]
    return np.exp(np.mean(np.log(shares), axis=0))


def distance(record: Record) -> np.ndarray:
    """By probe: the same change as it is, not over the gradient."""
    return np.exp(np.mean(np.log([column(record, f"shift_{k}") for k in layers(record)]), axis=0))


def cosine(record: Record) -> np.ndarray:
    """By probe: cosine of the angle between the gradients before and after, mean over layers."""
    return np.mean([column(record, f"cosine_{k}") for k in layers(record)], axis=0)


def beta(record: Record) -> np.ndarray:
    """By probe: the largest change of the gradient along the step, over the distance."""
    return column(record, "beta")


def loss_range(record: Record) -> np.ndarray:
    """By probe: between the largest and the smallest loss along the step, in nats."""
    return column(record, "loss_high") - column(record, "loss_low")


def moved(record: Record, until: int) -> tuple[float, float]:
    """How far the input of the typical last sigmoid moves up to the step `until`: in the units of the input,
    and by Section 4.1's measure, over its own width meanwhile."""
    percentiles = record.arrays["percentiles"][record.arrays["percentile_step"] <= until]
    path = float(np.abs(np.diff(percentiles, axis=0)).sum(axis=0).mean())
    width = float((percentiles[:, 2] - percentiles[:, 0]).mean())
    return path, path / width


# What is measured along a step, by the names that our numbers have.
ALONG: dict[str, Callable[[Record], np.ndarray]] = {
    "shift": shift,
    "distance": distance,
    "beta": beta,
    "range": loss_range,
}


def phase(record: Record, goal: float) -> np.ndarray:
    """Which probes fall into the time from PHASE_FROM to `goal` percent; where none does, the first after its
    beginning, and where there is none after it the last."""
    steps = column(record, "step")
    start, end = (crossing(record, percent).step for percent in (PHASE_FROM, goal))
    within = (steps >= start) & (steps <= end)
    if not within.any():
        within[np.argmax(steps >= start) if (steps >= start).any() else -1] = True
    return within


def geometric(values: np.ndarray) -> float:
    return float(np.exp(np.nanmean(np.log(values))))


def arithmetic(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def typical(
    results: Results,
    variant: str,
    of: Callable[[Record], np.ndarray],
    mean: Callable[[np.ndarray], float] = geometric,
) -> np.ndarray:
    """(rates, seeds): mean of a measure over the probes of the phase."""
    goal = target(results)
    return np.array(
        [[mean(of(r)[phase(r, goal)]) for r in runs(results, variant, rate)] for rate in rates(results)]
    )


def turned(results: Results, variant: str) -> float:
    """How far the gradient turns in percent, 1 less the cosine: 0 where it does not, over 100 where it turns
    back, which is why its mean is the arithmetic one."""
    return 100 * (1 - float(typical(results, variant, cosine, arithmetic).mean()))


def at_equal_steps(results: Results, variant: str, of: Callable[[Record], np.ndarray]) -> np.ndarray:
    """The same over all probes of a run, as the source compares."""
    return np.array([[geometric(of(r)) for r in runs(results, variant, rate)] for rate in rates(results)])


def once_all_are_there(results: Results, variant: str, of: Callable[[Record], np.ndarray]) -> np.ndarray:
    """The same over the probes after the step at which the last of a seed's networks is at the target."""
    last = np.max([np.exp(log_steps(results, name)) for name in VARIANTS], axis=0)
    return np.array(
        [
            [
                geometric(of(r)[column(r, "step") >= min(step, r.config["steps"])])
                for r, step in zip(runs(results, variant, rate), row, strict=True)
            ]
            for rate, row in zip(rates(results), last, strict=True)
        ]
    )


def ratio(over: np.ndarray, under: np.ndarray) -> stats.Interval:
    """over / under of (rates, seeds), geometric mean over rates, paired by seed."""
    return stats.paired_ratio(*(np.exp(np.log(values).mean(0)) for values in (over, under)))


# Statistics


def speedup(results: Results, variant: str) -> stats.Interval:
    """Steps to the target of the plain network over those of `variant`, geometric mean over rates and seeds;
    known to the widest gap between evaluations."""
    pair = [np.exp(log_steps(results, name).mean(0)) for name in ("plain", variant)]
    return stats.paired_ratio(*pair, resolution=resolution(results, ("plain", variant)))


def resolution(results: Results, variants: Sequence[str] = VARIANTS) -> float:
    return max(grid_factor(row) for name in variants for row in crossings(results, name))


def kept_speed(results: Results) -> Estimate:
    """The noisy network's speed-up over BN's to the power KEPT. It decides nothing where BN is not clearly
    faster than the plain network, nor where the noisy network's inputs do not drift clearly more than the
    plain one's."""
    plain, bn, noisy = (log_steps(results, variant) for variant in VARIANTS)
    # Three steps, each known to a gap between evaluations; their powers 1 - KEPT, KEPT and 1 add up to two.
    values = ((1 - KEPT) * plain + KEPT * bn - noisy).mean(0)
    found = stats.exponential(stats.mean_interval(values, resolution=2 * np.log(resolution(results))))
    faster, moves = speedup(results, "bn"), drift_ratio(results)
    share = kept_share(results)
    goal = target(results)
    detail = {
        "ko": f"목표 {goal}%까지 배치 정규화는 {faster.estimate:.2f}배, 잡음을 더한 쪽은 "
        f"{speedup(results, 'noisy').estimate:.2f}배 빠르다(로그로 {100 * share:.0f}%). 잡음을 더한 입력은 "
        f"기준 모델보다 {moves.estimate:.2f}배 움직인다.",
        "en": f"To {goal}% batch normalization is {faster.estimate:.2f} times as fast, with noise "
        f"{speedup(results, 'noisy').estimate:.2f} times ({100 * share:.0f}% of the logarithm). The noisy "
        f"inputs drift {moves.estimate:.2f} times as far as the plain network's.",
    }
    return Estimate(found, detail, _bound(results, faster, moves))


def kept_share(results: Results) -> float:
    """Of the logarithm of BN's speed-up, the share that the noisy network has; NaN where there is none."""
    whole, noisy = (np.log(speedup(results, variant).estimate) for variant in ("bn", "noisy"))
    return float(noisy / whole) if whole else float("nan")


def drift_ratio(results: Results, variant: str = "noisy") -> stats.Interval:
    """How many times as far as the plain network's its inputs drift."""
    return ratio(drifts(results, variant), drifts(results, "plain"))


def _bound(results: Results, faster: stats.Interval, moves: stats.Interval) -> str | None:
    """What runs that never reach the target leave of the estimate: the noisy network's steps are too few, the
    others' make it smaller. Nothing is left where there is nothing to keep, or no more drift to keep it
    under."""
    if not (faster.low > CLEAR and moves.low > 1):
        return "both"
    missed = {
        name: any(not one.reached for row in crossings(results, name) for one in row) for name in VARIANTS
    }
    if missed["noisy"]:
        return "both" if missed["plain"] or missed["bn"] else "upper"
    return "lower" if missed["plain"] or missed["bn"] else None


def gradient_shift(results: Results) -> Estimate:
    """The shift of gradients with BN over that without, from PHASE_FROM to the target."""
    found = ratio(*(typical(results, variant, shift) for variant in ("bn", "plain")))
    equal = ratio(*(at_equal_steps(results, variant, shift) for variant in ("bn", "plain"))).estimate
    bn, plain = (turned(results, variant) for variant in ("bn", "plain"))
    return Estimate(
        found,
        {
            "ko": f"방향의 변화(1 − 코사인)는 {bn:.1f}% 대 {plain:.1f}%다. "
            f"같은 스텝에서 비교하면 {equal:.2f}배다.",
            "en": f"By direction (1 − cosine) {bn:.1f}% against {plain:.1f}%. "
            f"At equal steps it is {equal:.2f} times.",
        },
        _learned(results),
    )


def smoothness(results: Results) -> Estimate:
    """The largest change of the gradient over the distance, without BN over with, from PHASE_FROM to the
    target."""
    pair = ("plain", "bn")
    equal = ratio(*(at_equal_steps(results, variant, beta) for variant in pair)).estimate
    ranges = ratio(*(typical(results, variant, loss_range) for variant in pair)).estimate
    noisy = ratio(*(typical(results, variant, beta) for variant in ("plain", "noisy"))).estimate
    return Estimate(
        ratio(*(typical(results, variant, beta) for variant in pair)),
        {
            "ko": f"그래디언트를 따라 손실이 변하는 폭으로 재면 {ranges:.2f}배, "
            f"같은 스텝에서 비교하면 {equal:.2f}배, 잡음을 더한 쪽과 비교하면 {noisy:.2f}배다.",
            "en": f"By the range of the loss along the gradient {ranges:.2f} times; "
            f"at equal steps {equal:.2f} times; against the noisy network {noisy:.2f} times.",
        },
        _learned(results),
    )


def _learned(results: Results) -> str | None:
    """A bound that leaves nothing, where a network that is compared never comes to the phase."""
    compared = [r for name in ("plain", "bn") for rate in rates(results) for r in runs(results, name, rate)]
    return None if all(crossing(record, PHASE_FROM).reached for record in compared) else "both"


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "kept_speed": kept_speed,
    "gradient_shift": gradient_shift,
    "smoothness": smoothness,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "pilot.seeds": profile.pilot_seeds,
        "steps": profile.steps,
        "lrs": list(profile.lrs),
        "lowest_lr": min(profile.lrs),
        "highest_lr": max(profile.lrs),
        "batch_size": profile.batch_size,
        "lead": LEAD,
        "kept_asked": 100 * KEPT,
        "clear": CLEAR,
        "phase_from": PHASE_FROM,
        "factor_low": FACTORS[0],
        "factor_high": FACTORS[-1],
        "effect.gradients": paper.effect("c-after-shift-gradients"),
        "effect.smooth": paper.effect("c-after-shift-smooth"),
        **{name.replace("noise_", "noise."): value for name, value in NOISE.items()},
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent. "<variant>.": means over rates and seeds; "at_<rate>.":
    the same at one rate; "kept": percent of the logarithm of BN's speed-up."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len({(r.run_id, r.seed) for r in everything}),
        "target": target(results),
        "image": one_image(everything),
        "kept": 100 * kept_share(results),
    }
    for variant in VARIANTS:
        found |= prefixed(variant, _of_variant(results, variant))
    for variant in VARIANTS[1:]:
        found |= interval(f"{variant}.speedup", speedup(results, variant))
        found |= interval(f"{variant}.drift_ratio", drift_ratio(results, variant))
        found |= interval(f"{variant}.shift_ratio", _against_plain(results, variant, shift))
        found |= interval(f"{variant}.beta_ratio", _against_plain(results, variant, beta))
        found |= interval(f"{variant}.range_ratio", _against_plain(results, variant, loss_range))
    found |= interval("noisy.over_bn", _over_bn(results))
    found |= prefixed("bn", _against_plain_at(results, slice(None)))
    for place, rate in enumerate(rates(results)):
        found |= prefixed(f"at_{rate:g}", _at_rate(results, place, rate))
    return found


def _over_bn(results: Results) -> stats.Interval:
    """Steps of the network with BN over those of the noisy one."""
    steps = (np.exp(log_steps(results, variant).mean(0)) for variant in ("bn", "noisy"))
    return stats.paired_ratio(*steps, resolution=resolution(results, ("bn", "noisy")))


def _against_plain(results: Results, variant: str, of: Callable[[Record], np.ndarray]) -> stats.Interval:
    return ratio(*(typical(results, name, of) for name in (variant, "plain")))


def _of_variant(results: Results, variant: str) -> dict[str, Number]:
    missed = [one for row in crossings(results, variant) for one in row if not one.reached]
    found: dict[str, Number] = {
        "missed": len(missed),
        "drift": float(np.exp(np.log(drifts(results, variant)).mean())),
        "steps": round(float(np.exp(log_steps(results, variant).mean()))),
        "turned": turned(results, variant),
    }
    for name, of in ALONG.items():
        found[name] = float(np.exp(np.log(typical(results, variant, of)).mean()))
        found[f"{name}_equal_steps"] = float(np.exp(np.log(at_equal_steps(results, variant, of)).mean()))
    return found


def _at_rate(results: Results, place: int, rate: float) -> dict[str, Number]:
    found: dict[str, Number] = {}
    ended = np.exp(log_steps(results, "bn")[place])
    for variant in VARIANTS:
        found |= {
            f"{variant}.accuracy": float(accuracies(runs(results, variant, rate)).mean()),
            f"{variant}.drift": float(np.exp(np.log(drifts(results, variant)[place]).mean())),
            f"{variant}.steps": round(float(np.exp(log_steps(results, variant)[place].mean()))),
        }
        ways = [
            moved(record, int(end)) for record, end in zip(runs(results, variant, rate), ended, strict=True)
        ]
        for name, values in zip(("moved", "moved_widths"), zip(*ways, strict=True), strict=True):
            found[f"{variant}.{name}"] = geometric(np.array(values))
        for name, of in ALONG.items():
            found[f"{variant}.{name}"] = geometric(typical(results, variant, of)[place])
    for variant in VARIANTS[1:]:
        found[f"{variant}.speedup"] = float(
            np.exp((log_steps(results, "plain") - log_steps(results, variant))[place].mean())
        )
    return found | prefixed("bn", _against_plain_at(results, place))


def _against_plain_at(results: Results, place: int | slice) -> dict[str, Number]:
    """BN over plain at some of the rates: in the phase that is judged, over all steps, and once all networks
    are at the target."""
    found: dict[str, Number] = {}
    for when, means in (
        ("", typical),
        ("_equal_steps", at_equal_steps),
        ("_afterwards", once_all_are_there),
    ):
        for name, of in ALONG.items():
            bn, plain = (geometric(means(results, variant, of)[place]) for variant in ("bn", "plain"))
            found[f"{name}_ratio{when}"] = bn / plain
    return found
