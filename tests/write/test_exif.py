"""Metadata kept, tag by tag: what exiftool reads of a source it reads of every result."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dng_files import ASCII, BYTE, LONG, RATIONAL, SHORT, SRATIONAL, UNDEFINED, Row, ifd_bytes, text
from raw_images import NO_METADATA
from tiff_tree import make_raw, packet, read_bytes, read_tree

from nightfix.read.metadata import Exposure, Metadata, read_metadata
from nightfix.read.tags import Ifd, read_tags
from nightfix.write.dng import write_dng
from nightfix.write.exif import SOFTWARE, source_directories, source_image_tags
from nightfix.write.ifd import EXIF_IFD
from nightfix.write.picture import write_picture
from nightfix.write.tiff import write_tiff

#: Of the source's own frame and file, or replaced by the result's own.
NOT_CARRIED = {
    *("ExifIFD:ExifImageWidth", "ExifIFD:ExifImageHeight", "ExifIFD:ColorSpace"),
    *("ExifIFD:FlashpixVersion", "ExifIFD:ComponentsConfiguration", "ExifIFD:SubjectArea"),
    *("ExifIFD:SubjectLocation", "ExifIFD:CFAPattern", "ExifIFD:PrintIM"),
    *("ExifIFD:InteropOffset", "ExifIFD:MakerNoteUnknown", "ExifIFD:MakerNoteUnknownText"),
}


def metadata_of(path: Path) -> Metadata:
    """Return the metadata of a file that LibRaw need not be able to decode."""
    unknown: Any = SimpleNamespace(
        lens="", captured="", iso_speed=0.0, shutter_speed=0.0, aperture=0.0, focal_length=0.0
    )
    with path.open("rb") as file:
        return read_metadata(unknown, read_tags(file), Ifd())


def exiftool(paths: list[Path], *groups: str) -> list[dict[str, Any]]:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    answer = subprocess.run(
        ["exiftool", "-j", "-n", "-G1", "-x", "PreviewImage", *groups, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(answer.stdout))


def write_each(folder: Path, metadata: Metadata) -> dict[str, Path]:
    raw = make_raw(np.zeros((32, 48), np.uint16), metadata=metadata)
    rgb = np.zeros((32, 48, 3), np.float32)
    paths = {kind: folder / f"result.{kind}" for kind in ("dng", "tif", "jpg", "png", "avif")}
    write_dng(paths["dng"], raw, restored=True)
    write_tiff(paths["tif"], rgb, raw, color_space="srgb")
    for kind, name in (("jpg", "JPEG"), ("png", "PNG"), ("avif", "AVIF")):
        write_picture(paths[kind], rgb, raw, name, color_space="srgb")
    return paths


def lost(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the tags that said something and whose value is another or gone."""
    return {
        tag: (value, after.get(tag))
        for tag, value in before.items()
        if tag != "SourceFile" and tag not in NOT_CARRIED
        if value != "" and after.get(tag) != value
    }


#: Camera files and how many tags exiftool reads of them below; truncated ones among them.
CAMERA_FILES = {
    "06_PGTM2_unsigned16.dng": 2,
    "08_PGTM2_float32.dng": 2,
    "Fusion_GPFR7066.dng": 35,
    "HERO7_GOPR9231.dng": 35,
    "Hero6_GOPR0024.GPR": 35,
    "RAW_KODAK_DC50.KDC": 1,
    "canon-x4-colorchart.dng": 18,
    "webcam-no-exif.dng": 0,
    "odd/exiftool__CanonRaw.cr2": 26,
    "odd/exiftool__FujiFilm.raf": 40,
    "odd/exiftool__Minolta.mrw": 28,
    "odd/exiftool__Panasonic.rw2": 32,
    "odd/exiv2__IMG_1361.dng": 44,
    "odd/issue247-1.nef": 36,
    "odd/issue247-3.nef": 36,
    "odd/issue419.rw2": 0,
}


@pytest.mark.parametrize("name", CAMERA_FILES)
def test_every_tag_of_a_camera_file_is_kept(shared: Path, tmp_path: Path, name: str) -> None:
    source = shared / "raw" / name
    results = write_each(tmp_path, metadata_of(source))
    groups = ("-ExifIFD:all", "-GPS:all", "-IFD0:Artist", "-IFD0:Copyright", "-XMP:Rating")
    before, *after = exiftool([source, *results.values()], *groups)
    assert len(before) - 1 == CAMERA_FILES[name]
    missing = {kind: lost(before, each) for kind, each in zip(results, after, strict=True)}
    assert missing == dict.fromkeys(results, {})


# --- synthetic containers: what of them each maker fills

IMAGE: list[Row] = [
    text(271, "Acme"),
    text(272, "Night One"),
    text(315, "A. Nyone"),
    text(33432, "(c) A. Nyone"),
    (18246, SHORT, 1, 3),
]
EXIF: list[Row] = [
    (33434, RATIONAL, 1, (1, 30)),
    (33437, RATIONAL, 1, (28, 10)),
    (34850, SHORT, 1, 1),
    (34855, SHORT, 1, 6400),
    (34864, SHORT, 1, 2),
    (34866, LONG, 1, 6400),
    (36864, UNDEFINED, 4, b"0232"),
    text(36867, "2024:11:05 21:30:59"),
    text(36868, "2024:11:05 21:30:59"),
    text(36880, "+01:00"),
    text(36881, "+01:00"),
    text(36882, "+01:00"),
    (37377, SRATIONAL, 1, (4907, 1000)),
    (37378, RATIONAL, 1, (2970, 1000)),
    (37379, SRATIONAL, 1, (-2, 1)),
    (37380, SRATIONAL, 1, (-1, 3)),
    (37381, RATIONAL, 1, (1, 1)),
    (37383, SHORT, 1, 5),
    (37384, SHORT, 1, 0),
    (37385, SHORT, 1, 16),
    (37386, RATIONAL, 1, (35, 1)),
    (37510, UNDEFINED, 13, b"ASCII\0\0\0night"),
    text(37520, "12"),
    text(37521, "34"),
    text(37522, "56"),
    (41486, RATIONAL, 1, (5000, 1)),
    (41488, SHORT, 1, 3),
    (41986, SHORT, 1, 1),
    (41987, SHORT, 1, 0),
    (41989, SHORT, 1, 52),
    (41990, SHORT, 1, 3),
    text(42016, "0123456789abcdef0123456789abcdef"),
    text(42032, "A. Nyone"),
    text(42033, "0042"),
    (42034, RATIONAL, 4, (35, 1, 35, 1, 18, 10, 18, 10)),
    text(42035, "Acme"),
    text(42036, "Acme 35mm F1.8"),
    text(42037, "7"),
]
GPS: list[Row] = [
    (0, BYTE, 4, b"\2\3\0\0"),
    (1, ASCII, 2, "N"),
    (2, RATIONAL, 3, (52, 1, 31, 1, 1234, 100)),
    (3, ASCII, 2, "E"),
    (4, RATIONAL, 3, (13, 1, 24, 1, 0, 1)),
    (7, RATIONAL, 3, (20, 1, 30, 1, 59, 1)),
    text(29, "2024:11:05"),
]
XMP = packet('xmp:Rating="3" xmp:Label="Red" crs:Exposure2012="+0.50"')


def tiff(main: list[Row], exif: list[Row], gps: list[Row], *, magic: int = 42) -> bytes:
    """Return a TIFF of three directories, without a picture."""
    pointers: list[Row] = [(34665, LONG, 1, 0)] * bool(exif) + [(34853, LONG, 1, 0)] * bool(gps)
    first = 8 + len(ifd_bytes([*main, *pointers], 8))
    second = first + (len(ifd_bytes(exif, first)) if exif else 0)
    places = {34665: first, 34853: second}
    pointers = [(code, LONG, 1, places[code]) for code, *_ in pointers]
    head = struct.pack("<2sHI", b"II", magic, 8) + ifd_bytes([*main, *pointers], 8)
    return head + (ifd_bytes(exif, first) if exif else b"") + ifd_bytes(gps, second) * bool(gps)


def arw_like() -> bytes:
    """Sony, Nikon, Pentax: TIFF with its XMP in the main directory."""
    return tiff([*IMAGE, (700, BYTE, len(XMP), XMP)], EXIF, GPS)


def orf_like() -> bytes:
    """Olympus: TIFF under another number."""
    return tiff([*IMAGE, (700, BYTE, len(XMP), XMP)], EXIF, GPS, magic=0x4F52)


def tiff_ep_like() -> bytes:
    """Leica, Kodak: exposure, dates and lens in the main directory itself."""
    kept = {37510, 41486, 41488, 36864, 42016, 40961}
    main = [*IMAGE, (700, BYTE, len(XMP), XMP), *(row for row in EXIF if row[0] not in kept)]
    return tiff(main, [row for row in EXIF if row[0] in kept], GPS)


def cr3_like() -> bytes:
    """Canon: boxes of TIFFs, and one of XMP, filled up with zeros."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content) + 8) + name + content

    name = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    inner = box(b"CMT1", tiff(IMAGE, [], []))
    inner += box(b"CMT2", tiff(EXIF, [], [])) + box(b"CMT4", tiff(GPS, [], []))
    moov = box(b"moov", box(b"uuid", bytes(16) + inner))
    head = box(b"ftyp", b"crx " + bytes(12))
    return head + moov + box(b"uuid", name + XMP + bytes(999)) + box(b"mdat", bytes(64))


def jpeg() -> bytes:
    segments = (
        b"Exif\0\0" + tiff(IMAGE, EXIF, GPS),
        b"http://ns.adobe.com/xap/1.0/\0" + XMP,
    )
    parts = (struct.pack(">HH", 0xFFE1, len(part) + 2) + part for part in segments)
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def raf_like() -> bytes:
    """Fujifilm: everything in the embedded JPEG."""
    head = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 160, len(jpeg()))
    return head.ljust(160, b"\0") + jpeg()


def rw2_like() -> bytes:
    """Panasonic: some of it in the main directory, the rest in the embedded JPEG."""
    main = [*IMAGE, (46, UNDEFINED, len(jpeg()), jpeg())]
    return tiff(main, EXIF[:3], [], magic=0x55)


CONTAINERS = [arw_like, orf_like, tiff_ep_like, cr3_like, raf_like, rw2_like]


def decoded(rows: list[Row]) -> dict[int, object]:
    """Return what :func:`read_tree` gives for rows."""
    place = 8
    data = struct.pack("<2sHI", b"II", 42, place) + ifd_bytes(rows, place)
    return read_bytes(data)["0"].values


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda make: make.__name__)
def test_every_tag_of_a_container_is_kept(tmp_path: Path, container: Callable[[], bytes]) -> None:
    (tmp_path / "photo").write_bytes(container())
    metadata = metadata_of(tmp_path / "photo")
    assert metadata.captured == "2024:11:05 21:30:59"
    results = write_each(tmp_path, metadata)
    for tree in (read_tree(results["dng"]), read_tree(results["tif"])):
        kept = {code: tree["0/34665"].values.get(code) for code in decoded(EXIF)}
        assert kept == decoded(EXIF)
        assert {code: tree["0/34853"].values.get(code) for code in decoded(GPS)} == decoded(GPS)
        assert {code: tree["0"].values.get(code) for code in decoded(IMAGE)} == decoded(IMAGE)
        xmp = bytes(map(int, tree["0"].numbers(700)))
        assert b'xmp:Rating="3"' in xmp
        assert b'xmp:Label="Red"' in xmp


def test_maker_notes_are_kept_only_where_they_can_be_moved(tmp_path: Path) -> None:
    kept = []
    for note in (b"FUJIFILM\x0c\0\0\0", b"Apple iOS\0\0\1MM", b"Nikon\0\2\x10\0\0", b"SONY DSC"):
        exif = [*EXIF[:3], (37500, UNDEFINED, len(note), note)]
        (tmp_path / "photo").write_bytes(tiff(IMAGE, exif, []))
        kept += [tag.value for tag in metadata_of(tmp_path / "photo").exif if tag.code == 37500]
    assert kept == [b"FUJIFILM\x0c\0\0\0", b"Apple iOS\0\0\1MM"]


@pytest.mark.parametrize(("safety", "kept"), [(1, True), (0, False), (None, False)], ids=str)
def test_a_dng_says_whether_its_maker_note_may_be_moved(
    tmp_path: Path, safety: int | None, kept: bool
) -> None:
    exif: list[Row] = [*EXIF[:3], (37500, UNDEFINED, 8, b"PENTAX \0")]
    declared: list[Row] = [] if safety is None else [(50741, SHORT, 1, safety)]
    version: Row = (50706, BYTE, 4, b"\1\4\0\0")
    (tmp_path / "photo").write_bytes(tiff([*IMAGE, version, *declared], exif, []))
    results = write_each(tmp_path, metadata_of(tmp_path / "photo"))
    dng, plain = read_tree(results["dng"]), read_tree(results["tif"])
    assert (37500 in dng["0/34665"].codes) == (37500 in plain["0/34665"].codes) == kept
    assert dng["0"].values.get(50741) == ([1] if kept else None)
    assert 50741 not in plain["0"].codes


def test_what_tiff_ep_says_of_the_shot_is_kept(tmp_path: Path) -> None:
    """Where TIFF/EP has it; exiftool, which knows EXIF's places, warns of them as minor."""
    said: list[Row] = [
        text(33423, "Full"),
        (34858, SHORT, 1, 2),
        (34859, SHORT, 1, 10),
        (37393, LONG, 1, 77),
        text(37394, "C"),
        text(37395, "as it was"),
        (37399, SHORT, 1, 2),
    ]
    (tmp_path / "photo").write_bytes(tiff([*IMAGE, *said], EXIF, []))
    results = write_each(tmp_path, metadata_of(tmp_path / "photo"))
    for tree in (read_tree(results["dng"]), read_tree(results["tif"])):
        assert {code: tree["0"].values.get(code) for code in decoded(said)} == decoded(said)


def test_what_only_libraw_knows_goes_into_exif() -> None:
    metadata = replace(
        NO_METADATA,
        lens="Acme 35mm F1.8",
        captured="2024:11:05 21:30:59",
        exposure=Exposure(exposure_time=1 / 30, iso_speed=6400, f_number=2.8, focal_length=35.0),
    )
    (exif,) = source_directories(metadata, width=9, height=9)[EXIF_IFD]
    known = Ifd({tag.code: tag for tag in exif.tags})
    assert known.number(33434) == pytest.approx(1 / 30)
    assert (known.number(33437), known.number(34855), known.number(37386)) == (2.8, 6400, 35)
    assert (known.text(36867), known.text(42036)) == ("2024:11:05 21:30:59", "Acme 35mm F1.8")
    assert known.text(36864) == "0231"


def test_exif_of_the_source_wins_over_libraw(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(arw_like())
    metadata = replace(metadata_of(tmp_path / "photo"), lens="another")
    (exif,) = source_directories(metadata, width=9, height=9)[EXIF_IFD]
    assert Ifd({tag.code: tag for tag in exif.tags}).text(42036) == "Acme 35mm F1.8"


def test_nothing_known_gives_no_directory() -> None:
    assert source_directories(NO_METADATA, width=9, height=9) == {}
    assert [tag.value for tag in source_image_tags(NO_METADATA)] == [SOFTWARE.encode() + b"\0"]


@pytest.mark.parametrize("code", [273, 330, 513, 34665, 34853, 40965])
def test_places_in_the_source_are_not_carried_over(tmp_path: Path, code: int) -> None:
    """A directory that points to itself would send who reads the result in circles."""
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff([], [(33434, 5, 1, (1, 30)), (code, 4, 1, 8)], [(1, 2, 2, "N")]))
    assert [known.code for known in metadata_of(path).exif] == [33434]


def test_only_what_gps_has_is_carried_over_as_gps(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff([], [], [(1, 2, 2, "N"), (31, 5, 1, (5, 1)), (700, 4, 1, 8)]))
    assert [known.code for known in metadata_of(path).gps] == [1, 31]
