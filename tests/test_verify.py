"""The manifest, what is written from it, and `bnbook verify`: each fault is found, and named."""

import csv
import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from bnbook import bundle, certificates, claims, cli, figures, files, manifest, paths, records, verify
from bnbook.certificates import CertificateError
from bnbook.config import ConfigError
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.manifest import Entry, ManifestError
from bnbook.sphinxext import claims as board
from bnbook.sphinxext import metadata
from tests.records import PROVENANCE, write_finished

QUICK = "algorithm1_line_by_line"  # its runs take no time


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """A copy of some of the committed results, with a manifest of its own, in a repository of its own."""
    root = tmp_path / "checkout"
    shutil.copytree(paths.RESULTS / "runs" / QUICK, root / "results" / "runs" / QUICK)
    monkeypatch.setattr(manifest, "PLANNED", {QUICK: manifest.PLANNED[QUICK]})
    shutil.copy(paths.RESULTS / "bench.json", root / "results")
    for name, place in (("ROOT", root), ("RESULTS", root / "results"), ("FIGURES", root / "results/figures")):
        monkeypatch.setattr(paths, name, place)
    monkeypatch.setattr(manifest, "used", lambda results: {})
    monkeypatch.setattr(claims, "board", lambda results: [])
    manifest.write(manifest.today({}))
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "records")
    return root / "results"


def a_record(results: Path) -> Path:
    """One with numbers at its end."""
    return next(file for file in sorted(results.rglob("seed-0.json")) if records.read(file).final)


def edit(file: Path) -> None:
    """A number is another, and all else as it was: such a record reads as a sound one."""
    values = json.loads(file.read_text())
    name = next(iter(values["final"]))
    values["final"][name] *= 1.5
    file.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    assert records.read(file)


# The manifest


def test_it_says_what_made_a_file_and_what_is_made_of_it():
    listed = manifest.read()
    claim = next(claim for claim in paths_of("c-4.1-accuracy") if claim.path.endswith(".json"))
    record = records.read(paths.RESULTS / claim.path)
    assert claim.commit == record.provenance["code_commit"] and claim.made == record.provenance["finished"]
    assert f"--run-id {record.run_id} --seed {record.seed} --commit" in claim.command
    assert "fig1a-test-accuracy" in claim.figures
    drawn = listed["figures/fig1a-test-accuracy.svg"]
    assert drawn.command == "make figures" and "c-4.1-accuracy" in drawn.claims
    # Claims of one experiment rest on records of its own: which, was looked at, and not guessed by the name.
    assert {entry.path.split("/")[1] for entry in paths_of("c-3.4-dropout")} == {"bn_regularizer"}
    assert {one.path for one in paths_of("c-3.4-dropout")} != {one.path for one in paths_of("c-3.4-noise")}


def paths_of(claim: str) -> list[Entry]:
    found = [entry for entry in manifest.read().values() if claim in entry.claims]
    return [entry for entry in found if entry.path.startswith("runs/")]


def test_two_additions_of_lines_merge(results):
    """A record here, another there: git keeps both lines, and renewing puts them in order."""
    root = results.parent
    shutil.copy(Path(__file__).parents[1] / ".gitattributes", root)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "how to merge")
    lines = manifest.read()
    kept = [entry for entry in lines.values() if entry.path != "bench.json"]
    for branch, path in (("one", "runs/new/a"), ("two", "runs/new/b")):
        git(root, "checkout", "-qb", branch, "HEAD" if branch == "one" else "one~1")
        manifest.write([*kept, Entry(path, "0" * 64, "here")])
        git(root, "commit", "-qam", branch)
    git(root, "merge", "-q", "one", "-m", "both")
    assert {"runs/new/a", "runs/new/b"} < manifest.read().keys()


def test_a_file_that_nothing_makes_is_not_listed(results):
    (results / "notes.txt").write_text("mine")
    with pytest.raises(ManifestError, match=r"notes\.txt: nothing in this book makes such a file; delete it"):
        manifest.today({})


def test_a_record_that_no_plan_has_is_not_listed(results):
    """Sound by itself, with a configuration and a run id that fit: but nobody planned it."""
    values = json.loads(a_record(results).read_text())
    values["config"]["batch_size"] += 1
    values["run_id"] = records.digest(values["config"])
    config = values["config"]
    place = results / "runs" / config["experiment"] / config["variant"] / values["run_id"]
    place.mkdir()
    planted = place / a_record(results).name
    planted.write_text(json.dumps(values))
    assert records.read(planted)
    with pytest.raises(ManifestError, match=rf"{values['run_id']}.*a run that no plan has; delete it"):
        manifest.today({})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not there"),
        (b"path,sha256\n", "not the columns"),
        (b"\xff", "not text"),
        (b"", "not the columns"),
        (",".join(manifest.COLUMNS).encode() + b"\na,b\n", "not the columns"),
        (",".join(manifest.COLUMNS).encode() + 2 * (b"\na" + b"," * (len(manifest.COLUMNS) - 1)), "twice"),
    ],
)
def test_a_manifest_that_is_none_is_refused_in_a_line(results, content, said):
    manifest.file().unlink()
    if content is not None:
        manifest.file().write_bytes(content)
    with pytest.raises(ManifestError, match=said) as error:
        manifest.read()
    assert "\n" not in str(error.value) and manifest.NAME in str(error.value)


# What others read


def test_codecheck_has_what_its_specification_asks_of_an_author():
    """Version 1.0: an explicit document, a manifest of files by relative paths, the paper and its authors."""
    text = (paths.ROOT / "codecheck.yml").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    known = yaml.safe_load(text)
    assert known["version"] == "https://codecheck.org.uk/spec/config/1.0/"
    assert known["paper"]["title"] and known["paper"]["authors"] == [{"name": "bnbook contributors"}]
    listed = [entry["file"] for entry in known["manifest"]]
    assert all((paths.ROOT / file).is_file() and not Path(file).is_absolute() for file in listed)
    assert len(listed) == len(set(listed)) == 3 * len(figures.manifest(paths.FIGURES))
    assert all(entry["comment"] for entry in known["manifest"])
    assert not re.search("FIXME|TODO|XXXX", text)
    # A reviewer's, not ours to fill in.
    assert not {"codechecker", "report", "certificate", "summary"} & set(known)


def test_the_crate_is_one():
    """RO-Crate 1.1: the descriptor, a root with what it must have, whose parts are there and described."""
    crate = json.loads((paths.ROOT / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert (
        set(crate) == {"@context", "@graph"} and crate["@context"] == "https://w3id.org/ro/crate/1.1/context"
    )
    graph = {one["@id"]: one for one in crate["@graph"]}
    assert len(graph) == len(crate["@graph"]) and all(one["@type"] for one in crate["@graph"])
    about = graph["ro-crate-metadata.json"]
    assert about["@type"] == "CreativeWork" and about["about"] == {"@id": "./"}
    assert about["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = graph["./"]
    assert root["@type"] == "Dataset" and root["name"] and root["description"] and root["license"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", root["datePublished"])
    for part in (one["@id"] for one in root["hasPart"]):
        place = paths.ROOT / part
        assert place.is_dir() if part.endswith("/") else place.is_file(), part
        assert graph[part]["@type"] == ("Dataset" if part.endswith("/") else "File")

    def named(value):
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            for inner in value.values():
                yield from named(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from named(inner)

    outside = {"https://w3id.org/ro/crate/1.1"}
    assert set(named(crate["@graph"])) - outside <= set(graph)


def test_what_is_known_later_stands_in_both():
    known = dataclasses.replace(
        metadata.book(), doi="10.5281/zenodo.1", repository="https://example.org/code", released="2026-12-31"
    )
    entries = list(manifest.read().values())
    check = bundle.codecheck(entries, known)
    assert check["paper"]["reference"] == "https://doi.org/10.5281/zenodo.1"
    assert check["repository"] == "https://example.org/code"
    root = bundle.ro_crate(entries, known, metadata.rerun_paper())["@graph"][1]
    assert root["datePublished"] == "2026-12-31" and root["identifier"] == "https://doi.org/10.5281/zenodo.1"


# Tampered with


def test_the_copy_is_without_faults(results):
    assert verify.check_files().faults == verify.check_history().faults == verify.check_records().faults == []


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda results: edit(a_record(results)), "seed-0.json: altered, its sha256 is"),
        (lambda results: a_record(results).unlink(), "seed-0.json: missing; `git restore"),
        (lambda results: edit_bench(results), "bench.json: altered"),
        (
            lambda results: shutil.copy(a_record(results), results / "bench2.json"),
            "bench2.json: not in the man",
        ),
        (
            lambda results: a_record(results).with_name("seed-99.npz").touch(),
            "seed-99.npz: not in the manifest",
        ),
    ],
)
def test_a_file_that_is_not_as_listed_is_named(results, tamper, said):
    tamper(results)
    (fault,) = verify.check_files().faults
    assert said in fault and "\n" not in fault


def edit_bench(results: Path) -> None:
    file = results / "bench.json"
    file.write_text(file.read_text().replace('"cores": 2', '"cores": 3'))


def test_who_renews_the_manifest_after_an_edit_is_found_by_git(results):
    file = a_record(results)
    edit(file)
    manifest.write(manifest.today({}))
    assert verify.check_files().faults == []
    (fault,) = verify.check_history().faults
    assert f"{file}: changed since it was committed; `git restore" in fault
    git(results.parent, "commit", "-qam", "nothing to be seen here")
    (fault,) = verify.check_history().faults
    assert f"{file}: changed after it was committed; `git log -p" in fault


def test_who_deletes_a_record_and_brings_another_back_is_found_too(results):
    root, file = results.parent, a_record(results)
    edited = file.read_bytes()
    git(root, "rm", "-q", str(file))
    git(root, "commit", "-qm", "gone")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(edited)
    edit(file)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "and here again")
    assert [str(file) in fault for fault in verify.check_history().faults] == [True]


def test_without_git_the_history_is_not_looked_at(results):
    shutil.rmtree(results.parent / ".git")
    assert verify.check_history() == verify.Finding("not looked at, there is no git here")


def test_records_and_arrays_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    config = protocol.multiverse(protocol.PROFILES["smoke"])[0]
    found = [
        write_finished(paths.runs(tmp_path), config, seed, {}, {"test_accuracy": 0.5}, {"a": np.ones(3)})
        for seed in range(3)
    ]
    assert verify.check_records() == verify.Finding("3, 3 of them with arrays, read")
    found[0].path.write_text("[")
    found[1].path.with_suffix(".npz").write_bytes(b"no arrays")
    faults = verify.check_records().faults
    assert "seed-0.json: not JSON" in faults[0] and "seed-1.npz: missing or altered" in faults[1]


def test_a_line_that_is_not_of_today_is_named(results, monkeypatch):
    monkeypatch.setattr(bundle, "texts", lambda entries: {})
    assert verify.check_manifest({}).faults == []
    first, *rest = manifest.read().values()
    manifest.write([dataclasses.replace(first, command="by magic"), *rest])
    (fault,) = verify.check_manifest({}).faults
    assert f"of {first.path} it has the command 'by magic' and not" in fault


def test_a_text_that_is_not_of_today_is_shown_where_it_differs(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("one\n" + 90 * "-" + "2.5 points\nthree\n")
    (fault,) = verify._differs(file, "one\n" + 90 * "-" + "2.6 points\nthree\n")
    assert f"{file}:2: has '" in fault and "2.5 points' and not '" in fault and "2.6 points'" in fault
    assert verify._differs(file, file.read_text()) == []
    assert verify._differs(tmp_path / "none", "text\n")


def test_a_figure_that_is_not_drawn_so_is_named(results, monkeypatch):
    def draw(folder, results):
        for name in ("one.svg", "two.png"):
            files.write(folder / name, "as it is")
        return {"one": {}}

    monkeypatch.setattr(figures, "export_anew", draw)
    draw(paths.FIGURES, {})
    assert verify.check_figures({}).faults == []
    (paths.FIGURES / "one.svg").write_text("as it was not")
    (paths.FIGURES / "two.png").unlink()
    (paths.FIGURES / "three.csv").touch()
    one, three, two = verify.check_figures({}).faults
    assert "one.svg: 13 bytes that are not the 8 drawn today; `make figures` draws it" in one
    assert "three.csv: no figure of the records has such a file" in three and "two.png: not there" in two


def test_the_command_says_what_each_check_found_and_ends_with_1_at_a_fault(monkeypatch, capsys):
    def broken():
        raise ManifestError("results/x: nothing in this book makes such a file")

    good = {"files": lambda: verify.Finding("3 files")}
    monkeypatch.setattr(verify, "checks", lambda: good)
    assert cli.main(["verify"]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(
        r"verify: files: 3 files \(0\.\d s\)\nverify: all follows from the records \(0 s\)\n", said.out
    )
    assert not said.err
    twice = {
        "records": lambda: verify.Finding("2 records", ["a: damaged"]),
        "claims": broken,
        "manifest": broken,
    }
    monkeypatch.setattr(verify, "checks", lambda: good | twice)
    assert cli.main(["verify"]) == 1
    said = capsys.readouterr()
    assert "verify: records: 1 faults: 2 records" in said.out and "verify: 2 faults" in said.out
    assert said.err == "bnbook: a: damaged\nbnbook: results/x: nothing in this book makes such a file\n"


# Made again


def quick() -> Path:
    return a_record(paths.RESULTS / "runs" / QUICK)


def test_a_record_is_found_by_its_path_or_the_end_of_it(monkeypatch):
    file = quick()
    end = "/".join(file.with_suffix("").parts[-2:])
    for run in (str(file), file.relative_to(paths.ROOT).as_posix(), end):
        assert verify.find(run).path == file
    for run, said in (("seed-0", "records end so"), ("none/seed-0", "no record ends so")):
        with pytest.raises(verify.VerifyError, match=said):
            verify.find(run)


def test_one_run_made_again_is_the_same(tmp_path, monkeypatch, capsys):
    """A committed run, whole; then as if other numbers had been recorded."""
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path))
    from bnbook.runs import replay

    record = verify.find(str(quick()))
    faults = verify.full(str(record.path))
    said = capsys.readouterr().out
    assert said.startswith(f"verify: {record.path}: made again in")
    if replay.same_stack(record):
        assert not faults and "every number is the same to the last bit" in said
    name = next(iter(record.final))
    forged = dataclasses.replace(record, final=record.final | {name: 0.125})
    monkeypatch.setattr(verify, "find", lambda run: forged)
    monkeypatch.setattr(replay, "same_stack", lambda record: True)
    (fault,) = verify.full("it")
    assert f"made again on the same stack it has other numbers, {name}: 0.125 then" in fault
    # Elsewhere the first steps decide; here there are none.
    monkeypatch.setattr(replay, "same_stack", lambda record: False)
    assert verify.full("it") == []
    assert "the same but for rounding" in capsys.readouterr().out


# Certificates


def certificate(**other) -> dict:
    record = quick()
    run = {
        "record": record.relative_to(paths.RESULTS).as_posix(),
        "sha256": manifest.sha256(record),
        "same": True,
        "seconds": 0.1,
    }
    said = {"claim": "c-3-gradient", "runs": [0], "verdict": "holds", "committed": "holds"}
    provenance = {
        name: PROVENANCE[name] for name in ("code_commit", "versions", "hardware", "seconds", "finished")
    }
    whole = {"schema": 1, "machine": "a processor", "provenance": provenance, "runs": [run], "claims": [said]}
    return whole | other


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(certificates, "folder", lambda: tmp_path)
    certificates.committed.cache_clear()
    yield tmp_path
    certificates.committed.cache_clear()


def put(folder: Path, name: str, **other) -> None:
    (folder / f"{name}.json").write_text(json.dumps(certificate(**other)))


def test_machines_are_counted_once_each_and_say_where_they_do_not_agree(folder):
    assert certificates.machines("c-3-gradient") == (0, 0) and board.recomputed("c-3-gradient") is None
    put(folder, "1")
    put(folder, "2")
    certificates.committed.cache_clear()
    assert certificates.machines("c-3-gradient") == (1, 0) and certificates.machines("c-3-deviations") == (
        0,
        0,
    )
    assert board.recomputed("c-3-gradient")["en"] == "Recomputed on 1 machine."
    other = certificate()["claims"][0] | {"verdict": "fails"}
    put(folder, "3", machine="another", claims=[other])
    certificates.committed.cache_clear()
    assert certificates.machines("c-3-gradient") == (2, 1)
    words = board.recomputed("c-3-gradient")
    assert words["en"] == "Recomputed on 2 machines. On 1 of them the verdict was another."
    assert words["ko"] == "컴퓨터 2대에서 다시 계산했다. 그 가운데 1대에서는 판정이 달랐다."


def test_a_certificate_against_records_that_are_no_more_does_not_count(folder):
    put(folder, "1", runs=[certificate()["runs"][0] | {"sha256": "0" * 64}])
    assert certificates.machines("c-3-gradient") == (0, 0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"schema": 2}, "schema 2, but this code reads schema 1"),
        ({"more": 1}, "not a certificate"),
        ({"machine": 1}, "its machine must be a text"),
        ({"machine": "<b>"}, "not JSON"),
        ({"provenance": {}}, "its provenance have code_commit"),
        ({"runs": [{}]}, "each of its runs must have record"),
        ({"claims": [{}]}, "each of its claims must have claim"),
        ({"claims": [certificate()["claims"][0] | {"claim": "c-none"}]}, "no claim 'c-none'"),
        ({"claims": [certificate()["claims"][0] | {"runs": [1]}]}, "must name some of the 1 runs"),
        ({"claims": [certificate()["claims"][0] | {"runs": []}]}, "must name some of the 1 runs"),
        ({"runs": [certificate()["runs"][0] | {"record": "runs/../../x"}]}, "is no record"),
    ],
)
def test_a_certificate_that_is_none_is_refused_in_a_line(folder, other, said):
    put(folder, "1", **other)
    with pytest.raises(CertificateError, match=said) as error:
        certificates.committed()
    assert "\n" not in str(error.value) and str(folder / "1.json") in str(error.value)


def test_the_committed_certificates_are_sound():
    certificates.committed.cache_clear()
    for one in certificates.committed():
        assert one.runs and one.claims


def test_cheap_claims_are_the_cheapest_and_share_their_runs():
    from bnbook.runs import certify

    used = manifest.used(claims.results())
    few, more = certify.cheap(used, 2.0), certify.cheap(used, 60.0)
    assert few and few.keys() < more.keys()
    runs = {file for own in more.values() for file in own}
    assert sum(records.read(file).provenance["seconds"] for file in runs) <= 60.0
    for name, own in more.items():
        assert set(own) <= used[name] and len({records.read(file).seed for file in own}) == 1
    assert certify.cheap(used, 0.0) == {}


def test_a_certificate_is_made_and_its_line_is_listed(results, monkeypatch, capsys):
    """The runs of two claims, of tenths of a second; the verdicts of made-up claims."""
    from bnbook.runs import certify

    monkeypatch.setattr(paths, "BUILD", results.parent / "build")
    monkeypatch.setenv("BNBOOK_CACHE", str(results.parent / "cache"))
    monkeypatch.setattr(certificates, "folder", lambda: results / "certificates")
    file = a_record(results)
    monkeypatch.setattr(manifest, "used", lambda results: {"c-3-gradient": {file}, "c-3-deviations": {file}})
    monkeypatch.setattr(claims, "results", lambda *arguments: {})

    @dataclasses.dataclass
    class Judged:
        id: str
        verdict: str = "holds"
        figure: None = None

    monkeypatch.setattr(claims, "board", lambda results: [Judged("c-3-gradient"), Judged("c-3-deviations")])
    with pytest.raises(ConfigError, match="no claim's runs took less than 0 minutes; give more --minutes"):
        certify.certify(0.0)
    made = certify.certify(60.0)
    said = capsys.readouterr().out
    assert "2 claims by 1 runs" in said and "git add results/certificates/" in said
    found = certificates.read(made)
    assert [one["claim"] for one in found.claims] == ["c-3-deviations", "c-3-gradient"]
    assert found.runs[0]["record"] == file.relative_to(results).as_posix() and "cores" in found.machine
    assert verify.check_files().faults == [] and not list((results.parent / "build").rglob("*.json"))
    with open(manifest.file()) as stream:
        lines = [line["command"] for line in csv.DictReader(stream) if "certificates/" in line["path"]]
    assert lines == ["bnbook certify"]
