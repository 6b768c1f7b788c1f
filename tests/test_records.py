"""A record is whole, final, and read strictly."""

import json

import numpy as np
import pytest

from bnbook import records
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.records import MissingRecord, Record, RecordError

CONFIG = protocol.multiverse(protocol.PROFILES["smoke"])[0]
ARRAYS = {"percentile_step": np.arange(3), "input_percentiles": np.linspace(-1, 1, 12).reshape(2, 3, 2)}


def record(folder, seed=0, **changes) -> Record:
    values = dict(
        schema=records.SCHEMA,
        run_id=CONFIG.run_id,
        config=CONFIG.to_dict(),
        seed=seed,
        outcome={"status": "done", "step": CONFIG.steps},
        curves={"evaluation": {"step": [1, 2], "test_accuracy": [0.1, 0.9]}},
        final={"chance_accuracy": 0.1, "test_accuracy": 0.9},
        first_losses=[2.3],
        provenance={"seconds": 1.0},
        arrays_sha256=None,
        path=records.path(folder, CONFIG, seed),
    )
    return Record(**values | changes)


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_round_trip(tmp_path):
    written = records.write(record(tmp_path), ARRAYS)
    assert written.path == tmp_path / CONFIG.experiment / CONFIG.variant / CONFIG.run_id / "seed-0.json"
    found = records.find([tmp_path / "empty", tmp_path], CONFIG, 0)
    assert found == written
    assert set(found.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_same_record_same_bytes(tmp_path):
    one, two = (records.write(record(tmp_path / name), ARRAYS).path for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".npz").read_bytes() == two.with_suffix(".npz").read_bytes()


def test_never_overwritten(tmp_path):
    before = records.write(record(tmp_path), ARRAYS).path.read_bytes()
    with pytest.raises(RecordError, match="never overwritten"):
        records.write(record(tmp_path, first_losses=[1.0]), {})
    assert records.path(tmp_path, CONFIG, 0).read_bytes() == before


def test_a_nan_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        records.write(record(tmp_path, final={"test_accuracy": float("nan")}), {})
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"surprise": 1}, "unknown or missing keys: surprise"),
        ({"config": CONFIG.to_dict() | {"lr": 123.0}}, "not the hash of its config"),
        ({"run_id": "0" * 12}, "not the hash of its config"),
    ],
)
def test_edited_records_are_refused(tmp_path, changes, message):
    file = records.write(record(tmp_path), {}).path
    edit(file, **changes)
    with pytest.raises(RecordError, match=message):
        records.read(file)


def test_half_a_file_is_refused(tmp_path):
    file = records.write(record(tmp_path), {}).path
    file.write_text(file.read_text()[:50])
    with pytest.raises(RecordError, match="not JSON"):
        records.read(file)


def test_altered_arrays_are_refused(tmp_path):
    file = records.write(record(tmp_path), ARRAYS).path
    with file.with_suffix(".npz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(RecordError, match="missing or altered"):
        _ = records.read(file).arrays


def test_missing_record_says_what_makes_it(tmp_path):
    records.write(record(tmp_path), {})
    with pytest.raises(MissingRecord, match=r"seed-1\.json: not made yet; `make reproduce`"):
        records.load([tmp_path], CONFIG, [0, 1])


def test_accuracy_prefers_algorithm_2_and_falls_to_chance(tmp_path):
    final = {"chance_accuracy": 0.1, "test_accuracy": 0.9}
    assert record(tmp_path).accuracy == 0.9
    assert record(tmp_path, final=final | {"test_accuracy_population": 0.95}).accuracy == 0.95
    diverged = record(tmp_path, outcome={"status": "diverged", "step": 7}, final={"chance_accuracy": 0.1})
    assert diverged.diverged and diverged.accuracy == 0.1


def test_committed_records_are_sound():
    """Every record that the book rests on reads strictly and lies where its configuration says."""
    from bnbook import paths

    runs = paths.runs(paths.RESULTS)
    for file in runs.rglob("*.json"):
        found = records.read(file)
        config = EXPERIMENTS[found.config["experiment"]].config(found.config)
        assert records.path(runs, config, found.seed) == file
        if config.experiment == protocol.EXPERIMENT:
            assert found.diverged or found.arrays["input_percentiles"].shape[1:] == (3, config.hidden)
        assert not found.provenance["code_commit"].endswith("-dirty")
