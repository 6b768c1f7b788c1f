"""Section 4.2.1: BN-x5 with one of its seven changes undone at a time.

Run it: `bnbook run accelerating_ablation --profile cpu --jobs 2` (what it shares with `inception_speedups` is
made only where it is missing).
Expected: the learning rate and its decay matter most; the other changes by less than three seeds can show.
"""

from bnbook.experiments.inception_speedups.training import train_run

__all__ = ["train_run"]
