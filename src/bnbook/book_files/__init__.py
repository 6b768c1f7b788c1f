"""The whole book as files: a PDF and an EPUB for each language, and the site in a zip to read offline.

All are made from the built site, so that they say what it says: nothing is executed, drawn or judged here.
WeasyPrint sets the PDF: it fills in the pages of the contents, writes bookmarks and tags, and takes its fonts
from files, whatever fonts the system has. A browser knows the pages of no contents.
"""

import importlib.util
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bnbook import files, paths

LANGUAGES = ("ko", "en")
SITE = "bnbook-site"


class BookFilesError(RuntimeError):
    """The files cannot be made; the message says what to do."""


def build(
    html: Path = paths.BUILD / "html",
    out: Path = paths.BUILD / "files",
    languages: Sequence[str] = LANGUAGES,
) -> list[Path]:
    """Write the files of the site in `html` to the folder `out`, and return them.

    Prints a line for each. Raises BookFilesError where the site or a library is missing, and for a
    folder within the site.
    """
    check(html, languages)
    if out.resolve().is_relative_to(html.resolve()):
        raise BookFilesError(f"{out} lies in the site, which goes into the zip: say another folder")
    from bnbook.book_files import chapters, epub, pdf  # what is missing is said before

    made = []
    for language in languages:
        # Each changes the chapters as it needs them.
        for kind, write in (("pdf", pdf.write), ("epub", epub.write)):
            made.append(out / f"bnbook-{language}.{kind}")
            say(made[-1], write, chapters.read(html / language))
    made.append(out / f"{SITE}.zip")
    say(made[-1], write_site, html)
    return made


def check(html: Path, languages: Sequence[str]) -> None:
    """Raises BookFilesError where something is missing that can be had."""
    for language in languages:
        if not (html / language / "index.html").exists():
            raise BookFilesError(f"there is no book in {html / language}: `make book` builds it")
    if importlib.util.find_spec("weasyprint") is None:
        raise BookFilesError(
            "the PDF needs WeasyPrint: "
            "`.venv/bin/python -m pip install -c constraints.txt weasyprint` brings it"
        )
    try:
        import weasyprint  # noqa: F401
    except OSError as error:
        raise BookFilesError(
            "WeasyPrint needs Pango: `apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0` "
            "brings it on Debian and Ubuntu, `brew install pango` on macOS"
        ) from error


def say(file: Path, write, source) -> None:
    """Write `file`, and print how long that took and how large it is."""
    started = time.perf_counter()
    with files.writing(file) as stream:
        write(source, stream)
    seconds, size = time.perf_counter() - started, file.stat().st_size / 1e6
    print(f"book-files: {file.name}: {size:.1f} MB, {seconds:.1f} s", flush=True)


def write_site(html: Path, stream) -> None:
    """Write the site to `stream`, in one folder."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for file in sorted(html.rglob("*")):
            if file.is_file():
                archive.write(file, Path(SITE, file.relative_to(html)))
