"""Fuzz our own parsers of foreign bytes, guided by coverage.

    pip install atheris
    python tests/fuzz/parsers.py CORPUS_FOLDER -max_total_time=600 -max_len=65536

What must hold, whatever the bytes: tags are read without an error, in bounded memory; every
reader of a tag gives numbers or text; the size a file declares is a whole number; what is
carried over can be written as a TIFF and read again; lists of opcodes and XMP packets are
read, applied and written in bounded memory; the start of a JPEG XL is sizes or a ValueError.
"""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import replace

import atheris

with atheris.instrument_imports(include=["nightfix"]):
    from nightfix.develop import lens
    from nightfix.read import jpegxl, metadata, opcodes, raw_from_array, truncation
    from nightfix.write import ifd, xmp
    from nightfix.write.record import Record

import numpy as np

MOSAIC = np.linspace(-0.1, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
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
    read_corrections(data)
    read_packet(data)
    with contextlib.suppress(ValueError):
        jpegxl.read_jpegxl_header(data)
    carried = [tag for tag in tags.exif.tags.values() if tag.code not in (37500, 40965)]
    written = io.BytesIO()
    ifd.write_tree(
        written, ifd.IfdNode(tags=[], children={ifd.EXIF_IFD: [ifd.IfdNode(tags=carried)]})
    )
    again = metadata.read_tags(written)
    if len(carried) < 1024:
        assert again.exif.tags == {tag.code: tag for tag in carried}, "EXIF is not carried over"


def read_corrections(data: bytes) -> None:
    """Read ``data`` as a list of opcodes, and apply it."""
    for curve in opcodes.first_curves(data):
        with np.errstate(all="ignore"):
            curve.apply(MOSAIC[..., None].copy())
    shifted = opcodes.shift_areas(data, 3, 5)
    for linear in (data, shifted):
        lists = opcodes.OpcodeLists(linear=linear)
        with np.errstate(all="ignore"):
            corrected = opcodes.correct_shading(MOSAIC, lists)
        assert corrected.shape == MOSAIC.shape
        assert not opcodes.gain_maps(opcodes.without_gain_maps(lists))
    own = opcodes.OpcodeLists(demosaiced=data)
    correction = lens.own_correction(replace(raw_from_array(MOSAIC), opcodes=own))
    if correction is not None:
        with np.errstate(all="ignore"):
            traced = correction.trace(range(MOSAIC.shape[0]), range(MOSAIC.shape[1]))
        assert np.isfinite(traced.rows).all()
        assert np.isfinite(traced.columns).all()


def read_packet(data: bytes) -> None:
    """Read ``data`` as an XMP packet, alone and within a frame that makes it one."""
    framed = b"<rdf:RDF xmlns:rdf='%s'><rdf:Description %s</rdf:RDF>"
    for packet in (data, framed % (b"http://www.w3.org/1999/02/22-rdf-syntax-ns#", data)):
        xmp.read_record(packet)
        made = xmp.make_packet(packet, Record(), developed=True)
        assert xmp.read_record(made) is not None


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
