"""How long things take is read from the records, once, and a run counts where it belongs."""

import re

import pytest

from bnbook import claims, durations, paths, records
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.inception_speedups.protocol import RECIPE_TESTED
from bnbook.sphinxext.durations import in_words


def test_every_experiment_has_taken_some_time():
    spent = durations.spent()
    assert list(spent) == list(EXPERIMENTS)
    for name, one in spent.items():
        waiting = EXPERIMENTS[name].section == "after"  # their runs may be still to be made
        assert (one.runs > 0 or waiting) and (one.runs > 0) == (one.seconds > 0), name


def test_a_run_that_several_experiments_use_counts_once():
    """The networks that the ablation undoes changes in belong to Section 4.2; runs of another recipe, such as
    those of a second registration, are none that the command makes."""
    protocol = EXPERIMENTS["accelerating_ablation"].protocol
    folder = paths.runs(paths.RESULTS) / protocol.EXPERIMENT
    found = [records.read(file) for file in folder.rglob("seed-*.json")]
    own_recipe = [record for record in found if record.config["recipe"] == RECIPE_TESTED]
    seconds = [record.provenance["seconds"] for record in own_recipe]
    own = durations.spent()["accelerating_ablation"]
    assert own.runs == len(seconds) and own.seconds == pytest.approx(sum(seconds))


def test_the_numbers_add_up():
    numbers = durations.numbers()
    hours = sum(numbers[f"durations.{name}.hours"] for name in EXPERIMENTS)
    assert numbers["durations.hours"] == pytest.approx(hours)
    assert numbers["durations.hours_on_two_cores"] == pytest.approx(hours / 2)
    # Of Section 4.2 alone, and not all of it.
    assert 0 < numbers["durations.gpu.runs"] < numbers["durations.inception_speedups.runs"]
    assert 0 < numbers["durations.gpu.hours"] < numbers["durations.inception_speedups.hours"]


def test_where_a_gpu_had_a_part_the_time_is_that_of_a_core():
    """The README once promised less than half the hours, and a cluster would have stopped the long runs: of
    12,636 steps, a run took 16 to 19 minutes on the GPU that it shared, and takes a core over an hour."""
    made = durations.records_of(EXPERIMENTS["inception_speedups"])
    shared = [record for record in made if durations.took_a_gpu(record)]
    assert any(map(durations.on_a_gpu, shared)) and not all(map(durations.on_a_gpu, shared))
    for record in made:
        took, here = record.provenance["seconds"], durations.on_one_core(record)
        assert here > took if durations.took_a_gpu(record) else here == took, record.path
    # The same network with BN and of equal length, which two seeds trained on a core, says about the same.
    for name in ("bn_x30_slow", "bn_x5_sigmoid"):
        alike = [record for record in made if record.config["variant"] == name]
        (alone,) = (record for record in alike if not durations.took_a_gpu(record))
        estimates = {durations.on_one_core(record) for record in alike if durations.took_a_gpu(record)}
        assert all(0.5 < one / alone.provenance["seconds"] < 2 for one in estimates)


@pytest.mark.parametrize(
    ("seconds", "words"), [(8, "8 s"), (90, "1.5 min"), (1500, "25 min"), (4000, "1.1 h"), (90000, "25 h")]
)
def test_in_words(seconds, words):
    assert in_words(seconds)["en"] == words


TYPED = re.compile(r"\d ?(?:hours|시간)|(?:[a-z]teen|열\S*) (?:hours|시간)|half a day|한나절")


def test_nothing_types_how_long_the_runs_take():
    """Hours are numbers of ours: a text that typed them would not know of the next run."""
    for typed in ("about 13 hours", "about thirteen hours", "2코어에서 13시간쯤", "열세 시간쯤", "한나절"):
        assert TYPED.search(typed), typed
    for file in (paths.ROOT / "README.md", paths.BOOK / "reproduce.md", paths.ROOT / "Makefile"):
        assert not TYPED.findall(file.read_text(encoding="utf-8")), file


def test_a_number_in_the_readme_is_filled_in():
    text = "about <!-- [[durations.hours|.0f]] -->99<!-- --> hours"
    assert claims.readme([], text, {"durations.hours": 12.6}) == text.replace("99", "13")
    with pytest.raises(KeyError, match="hours"):
        claims.readme([], text, {})
