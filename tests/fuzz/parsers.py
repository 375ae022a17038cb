"""Fuzz our own parsers of foreign bytes, guided by coverage.

    pip install atheris
    python tests/fuzz/parsers.py CORPUS_FOLDER -max_total_time=600 -max_len=65536

What must hold, whatever the bytes: tags are read without an error, in bounded memory; every
reader of a tag gives numbers or text; the size a file declares is a whole number; what is
carried over can be written as a TIFF and read again.
"""

from __future__ import annotations

import io
import sys

import atheris

with atheris.instrument_imports(include=["nightfix"]):
    from nightfix import ifd, metadata, truncation

MOST_BYTES = 40 << 20


def test_one_input(data: bytes) -> None:
    """Read ``data`` as a camera file by every parser of ours."""
    file = io.BytesIO(data)
    tags = metadata.read_tags(file)
    directories = [tags.main, *tags.images, tags.exif, tags.gps]
    held = sum(len(tag.value) for part in directories for tag in part.tags.values())
    assert held < MOST_BYTES, f"{held} bytes of tags from {len(data)}"
    for part in directories:
        for code in part.tags:
            part.numbers(code), part.integers(code), part.number(code), part.text(code)
    assert truncation.declared_size(file, tags) >= 0
    truncation.sensor_images(tags)
    carried = [tag for tag in tags.exif.tags.values() if tag.code not in (37500, 40965)]
    written = io.BytesIO()
    ifd.write_tree(written, ifd.Ifd(tags=[], children={ifd.EXIF_IFD: [ifd.Ifd(tags=carried)]}))
    again = metadata.read_tags(written)
    if len(carried) < 1024:
        assert again.exif.tags == {tag.code: tag for tag in carried}, "EXIF is not carried over"


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
