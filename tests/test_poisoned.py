"""Files of data that are damaged or poisoned, though their checksums be right: images or one line, and
nothing of theirs runs."""

import base64
import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bnbook.data import datasets, sources
from bnbook.data.sources import DataError

Files = dict[str, bytes]
TRAIN = "cifar10/train-00000-of-00001.parquet"
PIXELS = np.random.default_rng(0).integers(256, size=(20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20) % 10
SOME = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def picture(pixels: np.ndarray, kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


PICTURES = [{"bytes": picture(one), "path": None} for one in PIXELS]


def parquet(**columns) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"img": PICTURES, "label": LABELS} | columns), stream)
    return stream.getvalue()


def read(monkeypatch, name: str, contents: Files) -> datasets.Dataset:
    monkeypatch.setattr(sources, "contents", lambda name: contents)
    return datasets.load(name) if name == "mnist" else datasets.load_colour.__wrapped__(name)


def refused(monkeypatch, name: str, contents: Files, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        read(monkeypatch, name, contents)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


# What a reader is given, by source: all of it sound.
SOUND: dict[str, Files] = {
    "mnist": {
        f"MNIST/raw/{part}-{kind}-ubyte": data
        for part in ("train", "t10k")
        for kind, data in (
            ("images-idx3", bytes(16) + PIXELS[..., :28, :28, 0].tobytes()),
            ("labels-idx1", bytes(8) + LABELS.astype(np.uint8).tobytes()),
        )
    },
    "cifar10": {
        f"cifar-10-batches-py/{part}": pickle.dumps(
            {"data": PIXELS.transpose(0, 3, 1, 2).reshape(20, -1), "labels": LABELS.tolist()}
        )
        for part in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6)))
    },
    "cifar10-jpeg": {TRAIN.replace("train", part): parquet() for part in ("train", "test")},
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_read(monkeypatch, name):
    found = read(monkeypatch, name, SOUND[name])
    assert len(found.test) == 20 and found.test.y.tolist() == LABELS.tolist()


@SOME
@given(data=st.data())
@pytest.mark.parametrize("name", SOUND)
def test_whatever_the_files_hold_it_is_images_or_an_error_in_one_line(monkeypatch, name, data):
    file = data.draw(st.sampled_from(sorted(SOUND[name])))
    whole = SOUND[name][file]
    # Where the layout stands is in the first bytes and the last; the rest is pixels.
    places = st.integers(0, 400) | st.integers(len(whole) - 2000, len(whole)) | st.integers(0, len(whole))
    at = max(0, min(data.draw(places), len(whole)))
    lost = data.draw(st.sampled_from([0, 1, 4, 50, len(whole)]))
    changed = whole[:at] + data.draw(st.binary(max_size=12)) + whole[at + lost :]
    try:
        found = read(monkeypatch, name, SOUND[name] | {file: changed})
    except DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        for split in (found.train_and_validation, found.test):
            assert len(split.x) == len(split.y) and set(split.y.tolist()) <= set(range(datasets.CLASSES))


# Parquet


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_poisoned_column_of_a_parquet_runs_nothing(tmp_path, monkeypatch):
    """A type of pyarrow's own could be a pickle, which was opened once."""
    trace = tmp_path / "it ran"
    poison = pickle.dumps(Payload(trace))
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": poison}
    schema = pyarrow.schema(
        [
            pyarrow.field("img", pyarrow.array(PICTURES).type, metadata=metadata),
            pyarrow.field("label", pyarrow.int64(), metadata=metadata),
        ]
    )
    stream = io.BytesIO()
    table = pyarrow.table([pyarrow.array(PICTURES), pyarrow.array(LABELS)], schema=schema)
    pyarrow.parquet.write_table(table, stream)
    assert poison in base64.b64decode(pyarrow.parquet.read_metadata(stream).metadata[b"ARROW:schema"])
    try:
        read(monkeypatch, "cifar10-jpeg", SOUND["cifar10-jpeg"] | {TRAIN: stream.getvalue()})
    except DataError as error:
        assert "\n" not in str(error)
    assert not trace.exists()
    pickle.loads(poison)
    assert trace.exists(), "the poison is none"


def with_first(encoded: bytes | None) -> bytes:
    return parquet(img=[{"bytes": encoded, "path": None}, *PICTURES[1:]])


def bomb() -> bytes:
    """A picture of 20,000 x 20,000 pixels in a few bytes, which its first lines do not show."""
    small = bytearray(picture(PIXELS[0]))
    small[16:24] = (20_000).to_bytes(4) * 2
    return bytes(small)


POISONED = {
    "nothing": lambda: b"",
    "no Parquet": lambda: b"PAR1" + bytes(100) + b"PAR1",
    "half of one": lambda: parquet()[: len(parquet()) // 2],
    "without its end": lambda: parquet()[:-9],
    "other columns": lambda: parquet(img=LABELS),
    "pictures that are text": lambda: parquet(img=["<script>"] * 20),
    "labels that are text": lambda: parquet(label=["1"] * 20),
    "labels that are fractions": lambda: parquet(label=LABELS / 2),
    "a label too many": lambda: parquet(label=LABELS + 1),
    "a label below 0": lambda: parquet(label=LABELS - 1),
    "no label": lambda: parquet(label=[None] * 20),
    "no row": lambda: parquet(img=pyarrow.array([], pyarrow.array(PICTURES).type), label=LABELS[:0]),
    "more rows than images": lambda: parquet(
        img=pyarrow.nulls(200_000, pyarrow.array(PICTURES).type), label=np.zeros(200_000, np.int64)
    ),
    "no picture": lambda: with_first(None),
    "half a picture": lambda: with_first(PICTURES[0]["bytes"][:800]),
    "a larger picture": lambda: with_first(picture(np.zeros((33, 32, 3), np.uint8))),
    "a grey picture": lambda: with_first(picture(PIXELS[0, ..., 0])),
    "a picture that would fill the memory": lambda: with_first(bomb()),
    # Which Pillow would hand to another program.
    "a program that draws": lambda: with_first(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n"),
}


@pytest.mark.parametrize("poison", POISONED.values(), ids=POISONED)
def test_a_poisoned_parquet_is_refused_in_one_line(monkeypatch, poison):
    files = SOUND["cifar10-jpeg"] | {TRAIN: poison()}
    refused(monkeypatch, "cifar10-jpeg", files, "hold no images with labels")


# The others


def test_a_pickle_that_names_a_table_of_any_size_makes_none():
    """Its object is to be kept in place 2,147,483,647 of a table."""
    assert datasets.unpickled(b"\x80\x02}r\xff\xff\xff\x7f.") == {}


@pytest.mark.parametrize(
    "batch",
    [[], {}, {"data": PIXELS}, {"data": "text", "labels": [1]}, {"data": PIXELS, "labels": ["1"] * 20}],
)
def test_a_pickle_of_something_else_is_refused_in_one_line(monkeypatch, batch):
    files = SOUND["cifar10"] | {"cifar-10-batches-py/data_batch_3": pickle.dumps(batch)}
    refused(monkeypatch, "cifar10", files, "hold no images with labels")


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_an_idx_file_that_is_cut_is_refused_in_one_line(monkeypatch, kind):
    file = f"MNIST/raw/train-{kind}-ubyte"
    refused(
        monkeypatch, "mnist", SOUND["mnist"] | {file: SOUND["mnist"][file][:-5]}, "hold no images with labels"
    )


# Packed


PACKED = {"MNIST/raw/train-images-idx3-ubyte": b"pixels" * 50}


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=0) as archive:
        for name, data in PACKED.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


WHOLE = {"toy.tar.gz": tar(), "train-images-idx3-ubyte.gz": gzip.compress(*PACKED.values(), mtime=0)}


@SOME
@given(data=st.data())
@pytest.mark.parametrize("name", WHOLE)
def test_whatever_an_archive_holds_its_status_is_said_in_one_line(tmp_path, monkeypatch, name, data):
    files = {file: hashlib.sha256(content).hexdigest() for file, content in PACKED.items()}
    toy = dataclasses.replace(sources.SOURCES["mnist"], files=files, archive="toy.tar.gz")
    monkeypatch.setitem(sources.SOURCES, "mnist", toy)
    monkeypatch.setenv("BNBOOK_DATA", str(tmp_path))
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    sources._digests.cache_clear()
    whole = WHOLE[name]
    at, lost = data.draw(st.integers(0, min(700, len(whole)))), data.draw(st.sampled_from([0, 1, 8, 2000]))
    (tmp_path / name).write_bytes(whole[:at] + data.draw(st.binary(max_size=12)) + whole[at + lost :])
    ((_, status),) = sources.check("mnist")
    assert status and "\n" not in status
    if status == sources.OK:
        assert sources.contents("mnist") == PACKED
