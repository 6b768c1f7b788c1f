"""A record is whole, final, and read strictly."""

import dataclasses
import hashlib
import json
import re
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnbook import files, paths, records
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.files import FileError
from bnbook.records import DamagedRecord, MissingRecord, Record, RecordError
from tests.records import PROVENANCE

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
        provenance=PROVENANCE,
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


def test_never_overwritten_the_one_that_is_there_is_as_good(tmp_path):
    written = records.write(record(tmp_path), ARRAYS)
    before = written.path.read_bytes()
    assert records.write(record(tmp_path, first_losses=[1.0]), {}) == written
    assert written.path.read_bytes() == before
    replaced = records.write(record(tmp_path, first_losses=[1.0]), {}, replace=True)
    assert records.read(written.path) == replaced and replaced.first_losses == [1.0]
    assert not written.path.with_suffix(".npz").exists()


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    for changes in ({"provenance": PROVENANCE | {"hardware": "<b>"}}, {"final": {"test_accuracy": 1.5}}):
        with pytest.raises((RecordError, FileError), match=r"seed-0\.json"):
            records.write(record(tmp_path, **changes), {})
    assert not list(tmp_path.rglob("*.json"))


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
        ({"run_id": 5}, "run_id must be"),
        ({"config": []}, "config must be"),
        ({"config": {"experiment": CONFIG.experiment, "variant": ["x"], "data": "mnist"}}, "config must be"),
        ({"config": CONFIG.to_dict() | {"lr": {}}}, "config must be"),
        ({"seed": 1}, "the record of another run"),
        ({"seed": -1}, "seed must be"),
        ({"seed": True}, "seed must be"),
        ({"outcome": {"status": "won", "step": 1}}, "outcome must be"),
        ({"outcome": {"status": "done", "step": "1"}}, "outcome must be"),
        ({"outcome": {"status": [], "step": 1}}, "outcome must be"),
        ({"curves": {"evaluation": {"test_accuracy": [0.1]}}}, "curves must be"),
        ({"curves": {"evaluation": {"step": [1, 2], "test_accuracy": [0.1]}}}, "curves must be"),
        ({"curves": {"evaluation": {"step": [1, None]}}}, "curves must be"),
        ({"curves": {"evaluation": {"step": [1], "test_accuracy": [1.01]}}}, "curves must be"),
        ({"curves": {"evaluation": {"step": [1], "test_loss": ["0.1"]}}}, "curves must be"),
        ({"curves": {"evaluation": {"step": [1], "test_loss": [10**400]}}}, "curves must be"),
        ({"curves": []}, "curves must be"),
        ({"final": {"test_accuracy": -0.1}}, "final must be"),
        ({"final": {"test_accuracy": None}}, "final must be"),
        ({"final": {"loss": True}}, "final must be"),
        ({"first_losses": [[]]}, "first_losses must be"),
        ({"first_losses": "2.3"}, "first_losses must be"),
        ({"provenance": PROVENANCE | {"versions": "torch"}}, "provenance must be"),
        ({"provenance": PROVENANCE | {"seconds": [1.0]}}, "provenance must be"),
        ({"provenance": {"seconds": 1.0}}, "provenance must be"),
        ({"provenance": PROVENANCE | {"hardware": "<script>"}}, "it has '<'"),
        ({"provenance": PROVENANCE | {"hardware": "two\nlines"}}, "it has"),
        ({"arrays_sha256": "../../etc"}, "arrays_sha256 must be"),
    ],
)
def test_edited_records_are_refused(tmp_path, changes, message):
    file = records.write(record(tmp_path), {}).path
    edit(file, **changes)
    refused(file, message)


def refused(file, message: str) -> None:
    """Nobody takes the record in `file`, and why is said in one line."""
    with pytest.raises(DamagedRecord) as error:
        records.read(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert not records.whole(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "not a record"),
        (b"5", "not a record"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": 1, "schema": 1}', "a key stands twice"),
        (b'{"schema": NaN}', "NaN is no number of JSON"),
        (b'{"schema": -Infinity}', "-Infinity is no number of JSON"),
        (b'{"schema": 1' + b"0" * 5000 + b"}", "not JSON"),
        ('{"schema": "\u202e"}'.encode(), "it has"),
        (rb'{"schema": "\u003cb\u003e"}', "it has"),
    ],
)
def test_what_is_no_record_at_all_is_refused(tmp_path, content, message):
    file = records.write(record(tmp_path), {}).path
    file.write_bytes(content)
    refused(file, message)


def test_half_a_file_is_refused(tmp_path):
    file = records.write(record(tmp_path), {}).path
    file.write_text(file.read_text()[:50])
    refused(file, "not JSON")


def test_a_number_too_large_for_a_float_is_refused(tmp_path):
    """1e999 is JSON, and infinite."""
    file = records.write(record(tmp_path), {}).path
    file.write_text(file.read_text().replace("2.3", "1e999"))
    refused(file, "first_losses must be")


def test_a_sound_record_in_another_ones_place_is_refused(tmp_path):
    """Its run id fits its config: only the place tells that it is not the one that was asked for."""
    other = dataclasses.replace(CONFIG, lr=CONFIG.lr * 2)
    stranger = record(
        tmp_path, run_id=other.run_id, config=other.to_dict(), path=records.path(tmp_path, other, 0)
    )
    place = records.write(record(tmp_path), {}).path
    place.write_bytes(records.write(stranger, {}).path.read_bytes())
    refused(place, f"the record of another run: {CONFIG.experiment} {CONFIG.variant} {other.run_id}, seed 0")
    with pytest.raises(DamagedRecord):
        records.find([tmp_path], CONFIG, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_file_holds_it_is_a_record_or_an_error_in_one_line(tmp_path, data):
    file = records.path(tmp_path, CONFIG, 0)
    file.unlink(missing_ok=True)
    sound = records.write(record(tmp_path), {}).path.read_bytes()
    if data.draw(st.booleans(), "a value is replaced"):
        values = json.loads(sound)
        where, name = values, data.draw(st.sampled_from(sorted(values)))
        while isinstance(where[name], dict) and data.draw(st.booleans()):
            where, name = where[name], data.draw(st.sampled_from(sorted(where[name])))
        where[name] = data.draw(JSON)
        file.write_text(json.dumps(values, ensure_ascii=data.draw(st.booleans())), errors="surrogatepass")
    else:
        at = data.draw(st.integers(0, len(sound)))
        file.write_bytes(sound[:at] + data.draw(st.binary(max_size=20)) + sound[at + 5 :])
    try:
        found = records.read(file)
    except RecordError as error:
        assert "\n" not in str(error)
    else:
        assert (found.run_id, found.seed) == (CONFIG.run_id, 0)
        assert np.isfinite(found.first_losses).all() and found.provenance["seconds"] is not np.nan


def test_altered_arrays_are_refused(tmp_path):
    file = records.write(record(tmp_path), ARRAYS).path
    with file.with_suffix(".npz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(RecordError, match="missing or altered"):
        _ = records.read(file).arrays
    assert not records.whole(file)


def test_arrays_that_are_none_are_refused_whatever_their_checksum_says(tmp_path):
    file = records.write(record(tmp_path), ARRAYS).path
    file.with_suffix(".npz").write_bytes(b"PK\x05\x06 no archive")
    digest = hashlib.sha256(file.with_suffix(".npz").read_bytes()).hexdigest()
    edit(file, arrays_sha256=digest)
    with pytest.raises(DamagedRecord, match="holds no arrays"):
        _ = records.read(file).arrays


def half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_damaged_record_of_ones_own_is_named_set_aside_and_made_again(tmp_path, caplog, suffix):
    whole = records.write(record(tmp_path), ARRAYS)
    half(whole.path.with_suffix(suffix))
    damage = whole.path.with_suffix(suffix).read_bytes()
    files.warn_once.cache_clear()
    assert records.usable([tmp_path], CONFIG, 0) is None
    (line,) = caplog.messages
    assert "\n" not in line and str(whole.path.with_suffix(suffix)) in line and "made again" in line
    aside = whole.path.with_name(f"seed-0{suffix}.damaged")
    assert aside.read_bytes() == damage
    assert not whole.path.exists() and not whole.path.with_suffix(".npz").exists()
    assert records.write(record(tmp_path), ARRAYS) == whole == records.usable([tmp_path], CONFIG, 0)


def test_a_folder_in_place_of_a_record_is_set_aside_too(tmp_path):
    file = records.path(tmp_path, CONFIG, 0)
    (file / "deep").mkdir(parents=True)
    assert records.usable([tmp_path], CONFIG, 0) is None
    assert records.write(record(tmp_path), {}) == records.read(file)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_damaged_committed_record_is_for_git_to_bring_back(tmp_path, monkeypatch, suffix):
    """The command in the message does bring it back."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "with a space" / "results")
    runs = paths.runs(paths.RESULTS)
    whole = records.write(record(runs), ARRAYS)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "records"]):
        subprocess.run([*git, *command], check=True)
    half(whole.path.with_suffix(suffix))
    with pytest.raises(DamagedRecord) as error:
        records.usable([runs], CONFIG, 0)
    command = re.search(r"`(git restore .*)`", str(error.value))[1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert records.usable([runs], CONFIG, 0) == whole
    assert not list(tmp_path.rglob("*.damaged"))


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
    runs = paths.runs(paths.RESULTS)
    for file in runs.rglob("*.json"):
        found = records.read(file)
        config = EXPERIMENTS[found.config["experiment"]].config(found.config)
        assert records.path(runs, config, found.seed) == file
        if config.experiment == protocol.EXPERIMENT:
            assert found.diverged or found.arrays["input_percentiles"].shape[1:] == (3, config.hidden)
        assert not found.provenance["code_commit"].endswith("-dirty")
