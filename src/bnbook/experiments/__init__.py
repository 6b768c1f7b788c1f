"""The experiments: a room each, and the table of their names.

A room `bnbook.experiments.<name>` holds all that one experiment consists of. Its `protocol` names the exact
configurations and seeds of each profile, before they are run, and gathers their records afterwards
(`bnbook.experiments.protocol` says what every protocol offers); a profile changes sizes, never code paths.
`training` makes a run of it, with `networks` of its own where it has any. `measures` has what claims, figures
and chapters measure in the records: the statistics of its claims (STATISTICS) and its `numbers`. `figures`
draws them (FIGURES).
"""

import dataclasses
import importlib
from types import ModuleType
from typing import Any

from bnbook.config import ConfigError, RunConfig


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One row of the book's table of names. Names are addresses, so they are permanent."""

    number: int
    name: str
    section: str  # of the paper, or "after"

    @property
    def notebook(self) -> str:
        return f"{self.number:02d}_{self.name}"

    @property
    def protocol(self) -> ModuleType:
        return self._part("protocol")

    @property
    def training(self) -> ModuleType:
        """Needs PyTorch, as nothing else of a room but its networks does."""
        return self._part("training")

    @property
    def measures(self) -> ModuleType:
        return self._part("measures")

    @property
    def figures(self) -> ModuleType:
        return self._part("figures")

    def sizes(self, profile: str, data: str = "") -> Any:
        """The sizes of `profile`; with `data`, on that data set where the experiment can be run on it, hence
        with run ids of their own. Raises ConfigError on a profile that is not there."""
        profiles = self.protocol.PROFILES
        if profile not in profiles:
            raise ConfigError(f"profile is {profile!r}; it must be one of {', '.join(profiles)}")
        known = data in getattr(self.protocol, "DATA", ())
        return dataclasses.replace(profiles[profile], data=data) if known else profiles[profile]

    def _part(self, name: str) -> ModuleType:
        """A module of the experiment's room, read when it is asked for."""
        return importlib.import_module(f"{__name__}.{self.name}.{name}")

    def config(self, values: dict[str, Any]) -> RunConfig:
        """The configuration in a record of this experiment, whichever recipe it is of; raises ConfigError."""
        return room(self, values.get("recipe")).protocol.Config.from_dict(values)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in [
        Experiment(1, "mnist_activation_shift", "4.1"),
        Experiment(2, "inception_speedups", "4.2"),
        Experiment(3, "accelerating_ablation", "4.2.1"),
        Experiment(4, "bn_ensemble", "4.2.3"),
        Experiment(5, "unprotected_parameters", "4.2"),
        Experiment(11, "outside_the_gradient", "2"),
        Experiment(12, "algorithm1_line_by_line", "3"),
        Experiment(13, "algorithm2_inference", "3.1"),
        Experiment(14, "convolutional_norm", "3.2"),
        Experiment(15, "scale_invariance", "3.3"),
        Experiment(16, "jacobian_conjecture", "3.3"),
        Experiment(17, "bn_regularizer", "3.4"),
        Experiment(18, "careless_initialization", "3.3"),
        Experiment(21, "covariate_shift_tested", "after"),
        Experiment(22, "learning_rate_share", "after"),
        Experiment(23, "depth", "after"),
        Experiment(24, "weight_decay", "after"),
        Experiment(25, "small_batches", "after"),
        Experiment(26, "statistics_at_test", "after"),
        Experiment(27, "recurrent", "after"),
        Experiment(28, "only_gamma_beta", "after"),
    ]
}

# What was registered twice, by the experiment whose records both are: the room of the first. It stays for the
# page that tells what was wrong, and for what rests on its runs.
FIRST = {
    "inception_speedups": Experiment(2, "inception_first", "4.2"),
    "accelerating_ablation": Experiment(3, "ablation_first", "4.2.1"),
}
PLANNED = EXPERIMENTS | {other.name: other for other in FIRST.values()}


def room(experiment: Experiment, recipe: int | None) -> Experiment:
    """The room whose runs have that recipe, where an experiment was registered twice."""
    earlier = FIRST.get(experiment.name)
    if earlier and (recipe or 0) < experiment.protocol.Config.recipe:
        return earlier
    return experiment
