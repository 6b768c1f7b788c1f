"""What the manifest says, in the words of others: codecheck.yml for CODECHECK's reviewers
(https://codecheck.org.uk/spec/config/1.0/) and ro-crate-metadata.json for archives of research objects
(https://w3id.org/ro/crate/1.1). `bnbook manifest` writes both with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bnbook import figures, files, manifest, paths
from bnbook.claims import AllResults
from bnbook.experiments import EXPERIMENTS
from bnbook.manifest import Entry
from bnbook.sphinxext import metadata
from bnbook.sphinxext.metadata import Book, Paper

NAMES = ("codecheck.yml", "ro-crate-metadata.json")
CODECHECK = "https://codecheck.org.uk/spec/config/1.0/"
CRATE = "https://w3id.org/ro/crate/1.1"
HEADER = "---\n# Written by `bnbook manifest`. Who checks adds codechecker, report and summary.\n"
RESULTS = paths.RESULTS.name
FORMATS = {".csv": "text/csv", ".json": "application/json", ".md": "text/markdown"}
LICENCES = {
    metadata.CODE_LICENCE: ("https://spdx.org/licenses/MIT", "MIT License", "Of the code."),
    metadata.TEXT_LICENCE: (
        metadata.TEXT_LICENCE_URL,
        "Creative Commons Attribution 4.0 International",
        "Of the text, the figures and the records.",
    ),
}


def renew(results: AllResults) -> list[Path]:
    """Write the manifest and these files; their paths. Raises ManifestError."""
    entries = manifest.today(results)
    manifest.write(entries)
    for name, text in texts(entries).items():
        files.write(paths.ROOT / name, text)
    return [manifest.file(), *(paths.ROOT / name for name in NAMES)]


def texts(entries: Sequence[Entry]) -> dict[str, str]:
    """Their contents by name."""
    book, paper = metadata.book(), metadata.rerun_paper()
    check = yaml.safe_dump(codecheck(entries, book), sort_keys=False, allow_unicode=True, width=110)
    crate = metadata.json_text(ro_crate(entries, book, paper))
    return dict(zip(NAMES, (HEADER + check, crate), strict=True))


def codecheck(entries: Sequence[Entry], book: Book) -> dict[str, Any]:
    """As its author leaves it: the files that are to be made again, the figures', and whose work it is."""
    titles = {name: entry["title"]["en"] for name, entry in figures.manifest(paths.FIGURES).items()}
    drawn = [entry for entry in entries if entry.command == manifest.FIGURES and len(entry.figures) == 1]
    reference = metadata.doi_url(book) or book.address
    known = {"repository": book.repository} if book.repository else {}
    return {
        "version": CODECHECK,
        "manifest": [
            {"file": f"{RESULTS}/{entry.path}", "comment": titles[entry.figures[0]]}
            for entry in sorted(drawn, key=lambda one: one.path)
        ],
        "paper": {
            "title": book.title["en"],
            "authors": [{"name": book.author}],
            **({"reference": reference} if reference else {}),
        },
        **known,
    }


def ro_crate(entries: Sequence[Entry], book: Book, paper: Paper) -> dict[str, Any]:
    """The repository as a crate: the records of each experiment, the figures drawn from them, the files
    beside; each file of a record stands in the manifest alone. Published, where no release is known, is the
    day of the last run."""
    folders, single = _parts(entries)
    last = max(entry.made for entry in entries)[:10]
    author, code = {"@id": "#author"}, {"@id": "#bnbook"}
    runs = [one for one in folders if one["@id"] != f"{RESULTS}/figures/"]
    root = metadata.known(
        {
            "@id": "./",
            "@type": "Dataset",
            "name": book.title["en"],
            "description": book.abstract["en"],
            "datePublished": book.released or last,
            "license": [{"@id": url} for url, _, _ in LICENCES.values()],
            "author": author,
            "keywords": ", ".join(book.keywords),
            "identifier": metadata.doi_url(book),
            "url": book.address,
            "citation": {"@id": paper.url},
            "hasPart": [{"@id": one["@id"]} for one in (*folders, *single)],
        }
    )
    about = {"@id": NAMES[1], "@type": "CreativeWork", "conformsTo": {"@id": CRATE}, "about": {"@id": "./"}}
    graph = [about, root, *folders, *single, _action("make reproduce PROFILE=cpu COMMIT=1", code, [], runs)]
    drawn = [one for one in folders if one not in runs]
    graph.append(_action(manifest.FIGURES, code, runs, drawn))
    graph.append(
        metadata.known(
            {
                **code,
                "@type": "SoftwareSourceCode",
                "name": "bnbook",
                "description": book.description,
                "version": book.version,
                "programmingLanguage": "Python",
                "codeRepository": book.repository,
                "license": {"@id": LICENCES[metadata.CODE_LICENCE][0]},
            }
        )
    )
    graph.append({**author, "@type": "Organization", "name": book.author})
    graph.append(
        {
            "@id": paper.url,
            "@type": "ScholarlyArticle",
            "name": paper.title,
            "datePublished": paper.year,
            "author": ", ".join(" ".join(names) for names in paper.authors),
            "identifier": f"https://arxiv.org/abs/{paper.arxiv}",
        }
    )
    graph += [
        {"@id": url, "@type": "CreativeWork", "name": name, "description": what}
        for url, name, what in LICENCES.values()
    ]
    return {"@context": f"{CRATE}/context", "@graph": graph}


def _parts(entries: Sequence[Entry]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The folders and the single files below results/, as entities."""
    known = {entry.path for entry in entries}
    words = {"figures/": "Figures", "certificates/": "What came out on machines of others"} | {
        f"runs/{name}/": f"Records of the experiment {name}, Section {one.section} of the paper"
        if one.section[0].isdigit()
        else f"Records of the experiment {name}, after the paper"
        for name, one in EXPERIMENTS.items()
    }
    folders = [
        {"@id": f"{RESULTS}/{path}", "@type": "Dataset", "name": name}
        for path, name in words.items()
        if any(one.startswith(path) for one in known)
    ]
    single = sorted(path for path in {*known, manifest.NAME} if "/" not in path)
    return folders, [
        {
            "@id": f"{RESULTS}/{path}",
            "@type": "File",
            "name": path,
            "encodingFormat": FORMATS[Path(path).suffix],
            **(
                {"description": "Every file below results/, with its sha256"} if path == manifest.NAME else {}
            ),
        }
        for path in single
    ]


def _action(
    command: str, code: dict[str, str], of: Sequence[dict[str, Any]], made: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return metadata.known(
        {
            "@id": f"#{command.partition(' ')[2].partition(' ')[0]}",
            "@type": "CreateAction",
            "name": command,
            "instrument": code,
            "object": [{"@id": one["@id"]} for one in of],
            "result": [{"@id": one["@id"]} for one in made],
        }
    )
