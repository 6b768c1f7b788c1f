"""What is committed beside the records is what they give today."""

import json

import pytest

from bnbook import claims, figures, paths, verify


def test_exported_figures_are_up_to_date():
    """After a change of records or of figures' code: `make figures`."""
    results = claims.results()
    manifest = figures.manifest(paths.FIGURES)
    assert {name: entry["hash"] for name, entry in manifest.items()} == {
        name: figures.content_hash(name, results) for name in figures.available(results)
    }
    for entry in manifest.values():
        assert all((paths.FIGURES / file).exists() for file in entry["files"])


@pytest.mark.parametrize("name", ["fig1a-test-accuracy", "first-epoch-survival", "pic-batchnorm"])
def test_what_a_build_copies_is_what_it_would_draw(name, tmp_path):
    """The numbers of a committed figure, of one of each kind."""
    drawn = figures.export(name, tmp_path, claims.results())
    assert drawn.csv.read_bytes() == (paths.FIGURES / drawn.csv.name).read_bytes()


def test_every_file_is_as_listed_and_follows_from_the_records():
    """`bnbook verify` without what takes long. After a change of records or claims: `make figures`."""
    results = claims.results()
    of_results = (verify.check_manifest, verify.check_claims)
    checks = (verify.check_files, verify.check_history, verify.check_records)
    found = [*(check() for check in checks), *(check(results) for check in of_results)]
    assert [one.faults for one in found] == 5 * [[]]
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert "c-4.1" not in text and "reproduced" in text


def test_rules_of_the_second_registration_are_those_registered():
    """From before its main runs, in a file of their own; since then in force."""
    file = paths.RESULTS / "rules-second.json"
    for name, rule in json.loads(file.read_text(encoding="utf-8")).items():
        assert rule == claims.registered()[name][-1].partition("+")[0], name


def test_all_rules_are_registered():
    assert set(claims.registered()) == {claim.id for claim in claims.board(claims.results()) if claim.rule}
