"""How strong photometric distortions are. Chapters state it, `bnbook.data.augment` applies it.

The paper says only that they were reduced; brightness, contrast and saturation are those of its reference
for them (Howard 2013, arXiv:1312.5402).
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Photometric:
    """Largest relative change of each property; factors are uniform in [1 - s, 1 + s]."""

    brightness: float
    contrast: float
    saturation: float


STRENGTHS = {
    "none": Photometric(0.0, 0.0, 0.0),
    "weak": Photometric(0.1, 0.1, 0.1),
    "strong": Photometric(0.4, 0.4, 0.4),
}
