"""The fonts of the files: of packages that are installed anyway, so that no system's fonts are needed."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path

from fontTools import subset


@dataclass
class Font:
    """A font's `family`, `weight` and `style` as CSS calls them, and its file."""

    family: str
    weight: str
    style: str
    file: Path

    def css(self, url: str) -> str:
        return (
            f'@font-face {{ font-family: "{self.family}"; font-weight: {self.weight}; '
            f'font-style: {self.style}; src: url("{url}"); }}\n'
        )


# A package, the family, and the weight and style of each file.
KOREAN = (
    "koreanize-matplotlib",
    "Nanum",
    {"NanumGothic": ("400", "normal"), "NanumGothicBold": ("700", "normal")},
)
LATIN = (
    "matplotlib",
    "STIX",
    {
        "STIXGeneral": ("400", "normal"),
        "STIXGeneralItalic": ("400", "italic"),
        "STIXGeneralBol": ("700", "normal"),
        "STIXGeneralBolIta": ("700", "italic"),
    },
)
CODE = (
    "matplotlib",
    "Fixed",
    {"DejaVuSansMono": ("400", "normal"), "DejaVuSansMono-Bold": ("700", "normal")},
)
SIGNS = ("matplotlib", "Signs", {"DejaVuSans": ("400", "normal"), "DejaVuSans-Bold": ("700", "normal")})


def found(*families: tuple) -> Iterator[Font]:
    for package, family, styles in families:
        for file in _files(package):
            if file.suffix == ".ttf" and file.stem in styles:
                yield Font(family, *styles[file.stem], file)


@functools.cache
def _files(package: str) -> list[Path]:
    # Importing koreanize-matplotlib would change the settings of every figure.
    return [Path(str(file.locate())) for file in distribution(package).files or () if file.suffix == ".ttf"]


def cut(font: Font, letters: str) -> bytes:
    """The font's file with the letters of `letters` alone."""
    # Tables that only the maker of the font had use of.
    options = subset.Options(notdef_outline=True)
    options.drop_tables += ["TSI0", "TSI1", "TSI2", "TSI3", "TSI5"]
    whole = subset.load_font(str(font.file), options)
    cutter = subset.Subsetter(options)
    cutter.populate(text=letters)
    cutter.subset(whole)
    made = BytesIO()
    whole.save(made)
    return made.getvalue()
