"""Section 3, Algorithm 1: what is measured of the transform's and its gradient's errors.

Errors are relative. Digits are decimal ones: an error of 0.001 leaves 3, one of 1 or more leaves none.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import stats
from bnbook.experiments.algorithm1_line_by_line.protocol import (
    DTYPES,
    EASY,
    FAR,
    IMPLEMENTATIONS,
    INPUTS,
    STRIDE,
    VARIANCES,
    Profile,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, interval, prefixed
from bnbook.paper import Number

NARROW = "0 ± 0.01"  # the input whose variance is hardly more than eps
MOST_DIGITS = 17  # no float64 has more


def digits(error: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """How many decimal digits an error leaves right."""
    return np.clip(-np.log10(np.maximum(error, 10.0**-MOST_DIGITS)), 0, None)


def slug(name: str) -> str:
    """An input's name in keys of numbers: "100 ± 0.01" is "100_0.01"."""
    return name.replace(" ± ", "_")


def finals(results: Results, name: str, key: str) -> np.ndarray:
    """(seeds,): a final number of the input `name`."""
    return np.array([record.final[key] for record in results.main["input", name]])


def column(results: Results, part: str, name: str) -> np.ndarray:
    """(seeds, points): a column of the curve of "variance" or "differences"."""
    return np.array([record.curves[part][name] for record in results.main[(part,)]], dtype=float)


def at(results: Results, part: str, name: str, place: float) -> np.ndarray:
    """(seeds,): the same column at the point of the sweep nearest to `place`."""
    sweep = column(results, part, {"variance": "distance", "differences": "stride"}[part])[0]
    return column(results, part, name)[:, np.abs(np.log(sweep / place)).argmin()]


def worst_moments(results: Results, way: str, dtype: str) -> np.ndarray:
    """(seeds,): how far mean and variance of x_hat are off on the input where they are off most."""
    return np.max([finals(results, name, f"{way}.{dtype}.moments") for name in INPUTS], axis=0)


# Statistics


def identity(results: Results) -> Estimate:
    missed = 100 * finals(results, NARROW, "identity").max()
    helped = digits(finals(results, NARROW, "identity_eps")).mean()
    return Estimate(
        stats.mean_interval(digits(finals(results, EASY, "identity"))),
        {
            "ko": f"표준 편차가 0.01이면 분산이 ε에 가까워 표준 편차의 {missed:.0f}%까지 어긋난다. "
            f"γ = √(Var[x] + ε)로 두면 {helped:.1f}자리가 맞는다.",
            "en": f"Where the standard deviation is 0.01 the variance is near ε, and x is missed by up to "
            f"{missed:.0f}% of its spread; with γ = √(Var[x] + ε), {helped:.1f} digits are right.",
        },
    )


def deviations(results: Results) -> Estimate:
    mean, std = INPUTS[FAR]
    own, naive = (
        digits(at(results, "variance", f"{how}.float32", mean / std)) for how in ("deviations", "naive")
    )
    negative = 100 * finals(results, FAR, "naive.float32.negative").mean()
    return Estimate(
        stats.paired_difference(own, naive),
        {
            "ko": f"편차로 구하면 {own.mean():.1f}자리, E[x²] − E[x]²은 {naive.mean():.1f}자리. "
            f"E[x²] − E[x]²은 채널의 {negative:.0f}%에서 음수가 된다.",
            "en": f"{own.mean():.1f} digits from the deviations, {naive.mean():.1f} from E[x²] − E[x]², "
            f"which is negative in {negative:.0f}% of the channels.",
        },
    )


def normalized(results: Results) -> Estimate:
    shown = {way: digits(worst_moments(results, way, "float32")).mean() for way in IMPLEMENTATIONS}
    return Estimate(
        stats.mean_interval(digits(worst_moments(results, "ours", "float32"))),
        {
            "ko": f"논문의 식 그대로 float32로 계산하면 {shown['printed']:.1f}자리, "
            f"torch는 {shown['torch']:.1f}자리, E[x²] − E[x]²으로는 {shown['naive']:.1f}자리.",
            "en": f"As printed, in float32: {shown['printed']:.1f} digits; torch: {shown['torch']:.1f}; with "
            f"E[x²] − E[x]²: {shown['naive']:.1f}.",
        },
    )


def gradient(results: Results) -> Estimate:
    ignored = 100 * at(results, "differences", "ignored", STRIDE).mean()
    return Estimate(
        stats.mean_interval(digits(at(results, "differences", "float64", STRIDE))),
        {
            "ko": f"평균과 분산을 상수로 취급한 그래디언트는 {ignored:.0f}% 어긋난다.",
            "en": f"The gradient that takes mean and variance for constants is off by {ignored:.0f}%.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "identity": identity,
    "deviations": deviations,
    "normalized": normalized,
    "gradient": gradient,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "batch_size": profile.batch_size,
        "channels": profile.channels,
        "inputs": len(INPUTS),
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key: digits, means over seeds, by "<way>.<dtype>.<mean>_<std>"; shares, and errors that
    are not small, in percent."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "runs": len(everything),
    }
    for name in INPUTS:
        for dtype in DTYPES:
            for way in IMPLEMENTATIONS:
                errors = {what: finals(results, name, f"{way}.{dtype}.{what}") for what in ("y", "d_x")}
                digits_of = {what: float(digits(error).mean()) for what, error in errors.items()}
                percent = {f"{what}_percent": 100 * float(error.mean()) for what, error in errors.items()}
                found |= prefixed(f"{way}.{dtype}.{slug(name)}", digits_of | percent)
            for how in VARIANCES:
                for what in ("lost", "negative"):
                    share = 100 * float(finals(results, name, f"{how}.{dtype}.{what}").mean())
                    found[f"{what}.{how}.{dtype}.{slug(name)}"] = share
        for key in ("identity", "identity_eps"):
            found[f"{key}.{slug(name)}"] = 100 * float(finals(results, name, key).max())
    for dtype in DTYPES:
        for way in IMPLEMENTATIONS:
            for what in ("y", "d_x"):
                every = [found[f"{way}.{dtype}.{slug(name)}.{what}"] for name in INPUTS]
                found |= {f"worst.{way}.{dtype}.{what}": min(every)}
            found[f"moments.{way}.{dtype}"] = float(digits(worst_moments(results, way, dtype)).mean())
    for how in VARIANCES:
        for power in range(7):
            error = at(results, "variance", f"{how}.float32", 10.0**power)
            found[f"variance.{how}.1e{power}"] = float(digits(error).mean())
    return found | difference_numbers(results)


def difference_numbers(results: Results) -> dict[str, Number]:
    """Of the gradient against differences: digits at STRIDE, and in float32 at the best stride."""
    found = interval("gradient.digits", gradient(results).interval)
    found["gradient.stride"] = STRIDE
    found["gradient.ignored_percent"] = 100 * float(at(results, "differences", "ignored", STRIDE).mean())
    narrow = np.median(column(results, "differences", "float32"), axis=0)
    strides = column(results, "differences", "stride")[0]
    found["gradient.float32_digits"] = float(digits(narrow.min()))
    found["gradient.float32_stride"] = float(strides[narrow.argmin()])
    found["gradient.float32_at_stride_percent"] = 100 * float(
        at(results, "differences", "float32", STRIDE).mean()
    )
    return found
