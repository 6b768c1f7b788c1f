"""Section 4.2's second registration: what is measured in the runs that its choices rest on."""

from collections.abc import Sequence

import numpy as np
from scipy import stats as distributions

from bnbook.measures import data_name, prefixed
from bnbook.paper import Number
from bnbook.protocols import inception_second as protocol
from bnbook.protocols.inception_second import (
    INITIALS,
    LEARNS,
    PRECISION_DECAYS,
    PRECISION_LR,
    Profile,
    Results,
)
from bnbook.records import Record

SEED = 2  # the one that stayed at chance in the first registration


def accuracies(records: Sequence[Record]) -> np.ndarray:
    """Validation accuracy in percent at the end, by seed; chance where the run diverged."""
    return 100 * np.array([protocol.validation(record) for record in records])


def learned(records: Sequence[Record]) -> int:
    """How many seeds learn."""
    return sum(map(protocol.learns, records))


def disagreeing(one: Sequence[Record], other: Sequence[Record]) -> int:
    """How many seeds learn in one of the two and not in the other."""
    return sum(protocol.learns(a) != protocol.learns(b) for a, b in zip(one, other, strict=True))


def same_survival(one: Sequence[Record], other: Sequence[Record]) -> float:
    """Two-sided p-value of the exact test (Fisher's) that both learn with the same share of seeds."""
    table = [[learned(found), len(found) - learned(found)] for found in (one, other)]
    return float(distributions.fisher_exact(table).pvalue)


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "learns": 100 * LEARNS,
        "lr": PRECISION_LR,
        "decays": list(PRECISION_DECAYS),
        "below": protocol.BELOW,
        "plateau": protocol.PLATEAU,
        "statistics_batches": profile.statistics_batches,
        "curve_images": profile.curve_images,
        "seeds": max(arm.seeds for arm in protocol.ARMS.values()),
        "epochs": profile.epochs,
        "pixel_spread": protocol.PIXEL_SPREAD,
        "lrn_alpha": protocol.LRN_ALPHA,
        "evaluate_from": protocol.Config.evaluate_from,
        "evaluate_growth": round(100 * (protocol.Config.evaluate_growth - 1)),  # in percent
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent."""
    found: dict[str, Number] = {}
    for stage, measure in (("precision", _precision), ("initial", _initial)):
        if stage in results.stages:
            found |= {"data": data_name(results.records(stage))} | prefixed(stage, measure(results))
    return found


def _precision(results: Results) -> dict[str, Number]:
    cells = results.stages["precision"]
    found: dict[str, Number] = {"seeds": len(next(iter(cells.values())))}
    for (name, decay), records in cells.items():
        values = accuracies(records)
        found |= prefixed(
            f"{name}_{decay:g}",
            {"learned": learned(records), "mean": float(values.mean()), "lowest": float(values.min())}
            | ({"seed": float(values[SEED])} if len(values) > SEED else {}),
        )
    runs = sum(map(len, cells.values()))
    return found | {
        "runs": runs,
        "stopped": runs - sum(map(learned, cells.values())),
        "cells": len(cells),
        "seed_lowest": sum(_is_lowest(accuracies(records), SEED) for records in cells.values()),
        "parted": sum(disagreeing(cells["float32", d], cells["bfloat16", d]) for d in PRECISION_DECAYS),
        "p": min(same_survival(cells["float32", d], cells["bfloat16", d]) for d in PRECISION_DECAYS),
    }


def _is_lowest(values: np.ndarray, seed: int) -> bool:
    return seed < len(values) and bool(values.argmin() == seed)


def _initial(results: Results) -> dict[str, Number]:
    cells = results.stages["initial"]
    found: dict[str, Number] = {"seeds": len(cells[INITIALS[0]])}
    for (name, scale), records in cells.items():
        values = accuracies(records)
        first = [record.first_losses[0] for record in records]
        found |= prefixed(
            f"{name}_{scale:g}",
            {"learned": learned(records), "mean": float(values.mean()), "first_loss": float(np.mean(first))},
        )
    return found
