"""Write: the XMP packet and the XMP sidecar, which hold what a photographer added to a photo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.dom import Node
from xml.dom.minidom import Document, Element, parseString
from xml.parsers.expat import ExpatError

from nightfix.read import read_tags, tiff_packet
from nightfix.write.atomic import replacing
from nightfix.write.record import Record, from_properties, properties

if TYPE_CHECKING:
    from xml.dom.minidom import Attr

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
#: Of our own; XMP names a vocabulary by a URI, which need not lead anywhere.
NAMESPACE, _PREFIX = "urn:nightfix:settings:1.0:", "nightfix"

#: Where a picture's pixels come from, in the vocabulary of the IPTC; and that some of them come
#: from a trained model.
_IPTC, _SOURCE_TYPE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "DigitalSourceType"
_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

#: Edits that are in the pixels of a developed picture, or cannot be made to it:
#: Camera Raw's settings, its defaults and saved ones, and darktable's history.
_RAW_EDITS = frozenset(
    {
        "http://ns.adobe.com/camera-raw-settings/1.0/",
        "http://ns.adobe.com/camera-raw-defaults/1.0/",
        "http://ns.adobe.com/camera-raw-saved-settings/1.0/",
        "http://darktable.sf.net/",
    }
)
#: Copies of TIFF's tags that say something about the photo; the others are about its file.
_TIFF_TEXTS = frozenset({"Artist", "Copyright", "DateTime", "ImageDescription", "Make", "Model"})
_EXIF_SIZES = frozenset({"PixelXDimension", "PixelYDimension", "NativeDigest"})

#: Of a gain map, and of what else is in a JPEG: its directory, and kinds and sizes of its items.
_GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"
_CONTAINER = "http://ns.google.com/photos/1.0/container/"
_ITEM = f"{_CONTAINER}item/"
#: They describe the pieces of one file.
_OF_ONE_FILE = frozenset({_GAIN_MAP, _CONTAINER})

#: How much of a file is searched for a packet [bytes].
_LONGEST_SCAN = 256 << 20

#: Bounds for hostile packets: real ones have some thousand elements, some ten deep.
_MOST_ELEMENTS, _DEEPEST = 200_000, 100

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = '<?xpacket end="w"?>'
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'


def make_packet(
    source: bytes, record: Record, *, developed: bool, gain_map: int | None = None
) -> bytes:
    """Make the XMP packet of a result from its source's.

    Parameters
    ----------
    source : bytes
        The source's packet; one that cannot be read counts as none.
    record : Record
        How the result was made; one that is there already is replaced.
    developed : bool
        Whether edits of the RAW, and what describes the source's own frame, are left
        out. In a DNG they stay: they are the photographer's, and still to be applied.
    gain_map : int or None
        Size of the gain map behind the picture [bytes]; None where there is none.

    Returns
    -------
    bytes
        UTF-8.

    Notes
    -----
    Where detail was generated, the digital source type says so: agencies ask for it.

    References
    ----------
    ISO 16684-1:2019 (XMP), 7 "Serialization"; IPTC Photo Metadata Standard 2023.1, "Digital
    Source Type", and the NewsCodes for it; of the gain map Google, "Ultra HDR Image
    Format v1.1", "XMP metadata of the primary image".
    """
    document = _parse(source) or parseString(_EMPTY)
    (rdf,) = document.getElementsByTagNameNS(_RDF, "RDF")[:1]
    for description in _descriptions(rdf):
        for item in _properties(description):
            replaced = item.namespaceURI == NAMESPACE or (
                bool(record.detail_drawn) and _is_source_type(item)
            )
            if replaced or (developed and _is_of_the_raw(item)):
                _remove(description, item)
    rdf.appendChild(_description(document, record))
    if gain_map is not None:
        rdf.appendChild(document.importNode(_contents(gain_map), deep=True))
    text = "".join(
        node.toxml() for node in document.childNodes if node.nodeType == Node.ELEMENT_NODE
    )
    return f"{_BEGIN}\n{text}\n{_END}".encode()


def gain_map_packet(**numbers: float) -> bytes:
    """Make the XMP packet of a gain map.

    Parameters
    ----------
    **numbers : float
        Properties of Adobe's vocabulary, such as ``GainMapMax=3.0`` [stops].

    Returns
    -------
    bytes
        UTF-8.

    References
    ----------
    Adobe, "Gain map 1.0", "XMP".
    """
    properties = "".join(f' hdrgm:{name}="{value:.6f}"' for name, value in numbers.items())
    text = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description '
        f'rdf:about="" xmlns:hdrgm="{_GAIN_MAP}" hdrgm:Version="1.0"{properties} '
        'hdrgm:BaseRenditionIsHDR="False"/></rdf:RDF></x:xmpmeta>'
    )
    return f"{_BEGIN}\n{text}\n{_END}".encode()


def read_record(packet: bytes) -> Record | None:
    """Return how a result was made; None if the packet does not say."""
    if NAMESPACE.encode() not in packet:  # of most photos; to parse it takes longer
        return None
    document = _parse(packet)
    if document is None:
        return None
    (rdf,) = document.getElementsByTagNameNS(_RDF, "RDF")[:1]
    items = [item for each in _descriptions(rdf) for item in _properties(each)]
    known = {item.localName: _text(item) for item in items if item.namespaceURI == NAMESPACE}
    return from_properties(known) if known else None


def record_of_file(path: str | os.PathLike[str]) -> Record | None:
    """Return how a result of NightFix was made; None of any other file, or if it cannot be read."""
    path = Path(path)
    try:
        if not path.is_file():  # a pipe may never begin
            return None
        with path.open("rb") as file:
            packet = tiff_packet(file)
            if packet is None:
                tags = read_tags(file)
                packet = tags.xmp
                if not tags.images:
                    file.seek(0)
                    packet = packet or _scan(file.read(_LONGEST_SCAN))
    except (OSError, ValueError):  # the latter for a NUL in the name
        return None
    return read_record(packet)


def _scan(data: bytes) -> bytes:
    """Find a packet in a container whose structure does not matter (PNG, AVIF)."""
    start, end = data.find(b"<?xpacket begin="), data.find(b"<?xpacket end=")
    return data[start:end] if 0 <= start < end else b""


def copy_sidecars(photo: Path, result: Path) -> None:
    """Copy a photo's XMP sidecars beside a result, as they are.

    Both namings are known: ``photo.xmp`` (Lightroom) becomes ``result.xmp``, and
    ``photo.ARW.xmp`` (darktable) ``result.dng.xmp``. A sidecar that is there already
    may hold edits of the result, and is kept.

    Raises
    ------
    OutputWriteError
        If one cannot be read or written.
    """
    pairs = ((photo.stem, result.stem), (photo.name, result.name))
    for source_stem, target_stem in pairs:
        target = result.with_name(f"{target_stem}.xmp")
        if target.exists():
            continue
        for suffix in (".xmp", ".XMP"):
            source = photo.with_name(source_stem + suffix)
            if source.is_file():
                with replacing(target, overwrite=False) as temporary:
                    temporary.write_bytes(source.read_bytes())
                break


def _parse(packet: bytes) -> Document | None:
    """Parse a packet; None if it is no XML, no XMP, or declares entities, which XMP does not."""
    packet = packet.strip(b"\0 \t\r\n")
    # Packets in files are UTF-8; in UTF-16 the declarations below could not be seen.
    if not packet or b"\0" in packet or packet.count(b"<") > _MOST_ELEMENTS:
        return None
    if b"<!" in packet.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        return None
    try:
        document = parseString(packet)
    except (ExpatError, ValueError, LookupError):
        return None
    return document if _is_shallow(document) and _has_rdf(document) else None


def _is_shallow(document: Document) -> bool:
    """Tell whether elements are nested as in real packets: what walks them calls itself."""
    level: list[Any] = [document]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in node.childNodes]
    return not level


def _has_rdf(document: Document) -> bool:
    return bool(document.getElementsByTagNameNS(_RDF, "RDF"))


def _descriptions(rdf: Element) -> Iterator[Element]:
    for child in list(rdf.childNodes):
        if child.nodeType == Node.ELEMENT_NODE and child.localName == "Description":
            yield child


def _properties(description: Element) -> list[Element | Attr]:
    """Return the properties of a description: its attributes and the elements in it."""
    elements = (child for child in description.childNodes if isinstance(child, Element))
    return [*description.attributes.values(), *elements]


def _is_source_type(item: Element | Attr) -> bool:
    return item.namespaceURI == _IPTC and item.localName == _SOURCE_TYPE


def _is_of_the_raw(item: Element | Attr) -> bool:
    if item.namespaceURI == _TIFF:
        return item.localName not in _TIFF_TEXTS
    if item.namespaceURI == _EXIF:
        return item.localName in _EXIF_SIZES
    return item.namespaceURI in _RAW_EDITS | _OF_ONE_FILE


def _remove(description: Element, item: Element | Attr) -> None:
    if item.nodeType == Node.ATTRIBUTE_NODE:
        description.removeAttributeNode(item)
    else:
        description.removeChild(item)


def _text(item: Element | Attr) -> str:
    if item.nodeType == Node.ATTRIBUTE_NODE:
        return str(item.value)
    return "".join(c.data for c in item.childNodes if c.nodeType == Node.TEXT_NODE)


def _description(document: Document, record: Record) -> Element:
    """Build the element that holds a record."""
    element = document.createElementNS(_RDF, "rdf:Description")
    element.setAttribute("xmlns:rdf", _RDF)
    element.setAttributeNS(_RDF, "rdf:about", "")
    element.setAttribute(f"xmlns:{_PREFIX}", NAMESPACE)
    for name, value in properties(record).items():
        element.setAttributeNS(NAMESPACE, f"{_PREFIX}:{name}", value)
    if record.detail_drawn:
        element.setAttribute("xmlns:Iptc4xmpExt", _IPTC)
        element.setAttributeNS(_IPTC, f"Iptc4xmpExt:{_SOURCE_TYPE}", _GENERATED)
    return element


def _contents(gain_map: int) -> Element:
    """Build the element that says that a gain map of so many bytes is behind the picture."""
    items = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{semantic}" '
        f'Item:Mime="image/jpeg"{length}/></rdf:li>'
        for semantic, length in (("Primary", ""), ("GainMap", f' Item:Length="{gain_map}"'))
    )
    element = parseString(
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="" xmlns:hdrgm="{_GAIN_MAP}" '
        f'xmlns:Container="{_CONTAINER}" xmlns:Item="{_ITEM}" hdrgm:Version="1.0">'
        f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory></rdf:Description>"
    ).documentElement
    assert element is not None
    return element
