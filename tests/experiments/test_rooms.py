"""What every room offers, so that the engine, the claims and the book need no word about any of them."""

import inspect
from pathlib import Path

import pytest

from bnbook import paths
from bnbook.config import RunConfig
from bnbook.drawing import Figure
from bnbook.experiments import EXPERIMENTS, PLANNED
from bnbook.experiments.protocol import ExperimentProtocol
from bnbook.records import MissingRecord

FUNCTIONS = [
    name for name, one in vars(ExperimentProtocol).items() if inspect.isfunction(one) and name[0] != "_"
]
PROFILES = ("smoke", "cpu", "paper")
each = pytest.mark.parametrize("name", EXPERIMENTS)


@each
def test_a_protocol_has_the_functions_of_the_interface(name):
    """With the parameters that it names, in its order."""
    protocol = EXPERIMENTS[name].protocol
    for function in FUNCTIONS:
        wanted = list(inspect.signature(getattr(ExperimentProtocol, function)).parameters)[1:]
        assert list(inspect.signature(getattr(protocol, function)).parameters) == wanted, function
    assert FUNCTIONS and name == protocol.EXPERIMENT
    assert tuple(protocol.PROFILES) == PROFILES and protocol.STAGES
    assert issubclass(protocol.Config, RunConfig)
    assert set(protocol.DATA) and all(isinstance(one, str) for one in protocol.DATA)


@each
def test_its_first_stage_is_known_without_any_record(name, tmp_path):
    """A run names its experiment, or the one that it is built on."""
    protocol = EXPERIMENTS[name].protocol
    for profile in PROFILES:
        jobs = list(protocol.plan(protocol.STAGES[0], protocol.PROFILES[profile], [tmp_path]))
        assert jobs and len(jobs) == len({(config.run_id, seed) for config, seed in jobs})
        assert all(config.experiment in EXPERIMENTS for config, _ in jobs)
    with pytest.raises(MissingRecord):
        protocol.results(protocol.PROFILES["smoke"], [tmp_path])


@each
def test_its_traces_are_short_runs_on_digits_of_each_variant(name):
    """None where nothing is trained."""
    traces = EXPERIMENTS[name].protocol.traces(7)
    assert bool(traces) == (name != "algorithm1_line_by_line")
    assert all(config.experiment == name for config in traces)
    assert len({config.variant for config in traces}) == len(traces)


@each
def test_it_trains_measures_and_draws(name):
    room = EXPERIMENTS[name]
    assert list(inspect.signature(room.training.train_run).parameters)[:3] == ["config", "seed", "checkpoint"]
    assert isinstance(room.measures.STATISTICS, dict)
    assert callable(room.measures.numbers) and callable(room.measures.sizes)
    assert room.figures.FIGURES and all(isinstance(figure, Figure) for figure in room.figures.FIGURES)


@each
def test_a_room_has_tests_and_made_up_records_of_its_own(name):
    tests = Path(__file__).parent / name
    assert list(tests.glob("test_*.py")) and (tests / "synthetic.py").exists()


def test_every_folder_is_a_room_and_no_room_is_forgotten():
    rooms = paths.ROOT / "src" / "bnbook" / "experiments"
    assert {file.parent.name for file in rooms.glob("*/protocol.py")} == set(PLANNED)
