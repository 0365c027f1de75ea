"""What metadata announces beside the picture: gain maps, videos, other pictures, sizes. It has to stay true."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.dom import minidom

GOOGLE, PANORAMA = "http://ns.google.com/photos/", "http://ns.google.com/photos/1.0/panorama/"
CAMERA = "http://ns.google.com/photos/1.0/camera/"
NAMESPACES = {  # of XMP -> what they announce
    "http://ns.adobe.com/hdr-gain-map/1.0/": "gain map",
    "http://ns.apple.com/HDRGainMap/1.0/": "gain map",
    "http://ns.apple.com/pixeldatainfo/1.0/": "gain map",
    f"{GOOGLE}1.0/container/": "",  # a list of the pictures and videos in the file; `_contents` reads it
    f"{GOOGLE}1.0/depthmap/": "depth map",
    f"{GOOGLE}1.0/image/": "second picture",
    f"{GOOGLE}1.0/audio/": "sound",
    f"{GOOGLE}dd/1.0/": "depth map",
}
ITEMS = {"GainMap": "gain map", "MotionPhoto": "motion video", "Depth": "depth map"}
ITEM = f"{GOOGLE}1.0/container/item/"
NOTE = "http://ns.adobe.com/xmp/note/"
XMLNS = "http://www.w3.org/2000/xmlns/"
DESCRIPTION = 270  # of EXIF and TIFF
STACK = ("images=", "channels=", "slices=", "frames=", "hyperstack=")  # of ImageJ's description
JPEG_WORDS = {b"urn:iso:std:iso:ts:21496:-1": "gain map", b"MotionPhoto_Data": "motion video"}
META_WORDS = {b"tmap": "gain map", b"hdrgainmap": "gain map"}  # of the box that says what an AVIF or HEIC holds


def others_in(kind: str | None, data: bytes, info: Mapping[Any, Any]) -> list[str]:
    """What a file holds beside its picture, such as "gain map".

    Args:
        kind: Pillow's name of the format.
        data: the file.
        info: that it was opened with.
    """
    xmp = info.get("xmp")
    announced = _announced(xmp if isinstance(xmp, bytes) else None)
    found = list(dict.fromkeys([*announced, *_in_file(kind, data, info)]))
    if kind == "MPO" and not {"gain map", "depth map"} & {*found}:
        found.append("second picture")
    return found


def _in_file(kind: str | None, data: bytes, info: Mapping[Any, Any]) -> Iterator[str]:
    if kind in ("JPEG", "MPO"):
        yield from (what for word, what in JPEG_WORDS.items() if word in data)
        if b"ftyp" in data[data.rfind(b"\xff\xd9") :][:32]:
            yield "motion video"
    elif kind in ("AVIF", "HEIF"):
        if info.get("depth_images"):
            yield "depth map"
        for name, content in _boxes(data):
            if name == b"mpvd":
                yield "motion video"
            elif name == b"meta":
                yield from (what for word, what in META_WORDS.items() if word in content)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of an ISO file, the outermost: name and content."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length and length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length] if length else data[at + 8 :]
        at = at + length if length else len(data)


def _announced(xmp: bytes | None) -> Iterator[str]:
    for element in _elements(_parse(xmp)):
        for item in (element, *element.attributes.values()):
            space, name = item.namespaceURI or "", item.localName
            value = item.value if isinstance(item, minidom.Attr) else _text(item)
            if space == ITEM and name == "Semantic" and value in ITEMS:
                yield ITEMS[value]
            elif value != "0" and space != XMLNS and (what := _announces(space, name)):
                yield what


def _announces(space: str, name: str) -> str | None:
    """What something of XMP announces, "" if something unnamed; None: nothing."""
    if space == CAMERA:
        return "motion video" if name.startswith(("MotionPhoto", "MicroVideo")) else None
    if space == NOTE:
        return "" if name == "HasExtendedXMP" else None
    return next((what for start, what in NAMESPACES.items() if space.startswith(start)), None)


def without_announcements(xmp: bytes) -> bytes:
    """XMP that announces nothing but the picture; the same bytes where it does so already."""
    document = _parse(xmp)
    changed = False
    for element in _elements(document):
        for attribute in list(element.attributes.values()):
            if (
                attribute.namespaceURI != XMLNS
                and _announces(attribute.namespaceURI or "", attribute.localName) is not None
            ):
                element.removeAttributeNode(attribute)
                changed = True
        if element.parentNode and _announces(element.namespaceURI or "", element.localName) is not None:
            element.parentNode.removeChild(element)
            changed = True
    if not changed:
        return xmp
    used = {item.namespaceURI for element in _elements(document) for item in (element, *element.attributes.values())}
    for element in _elements(document):
        for attribute in list(element.attributes.values()):
            if attribute.namespaceURI == XMLNS and attribute.value not in used:
                element.removeAttributeNode(attribute)
    return _written(document)


def panorama_of_size(xmp: bytes, size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> bytes:
    """XMP whose GPano sizes are those of a picture of `size` with margins; the same bytes where it has none."""
    document = _parse(xmp)
    places: dict[str, Any] = {}
    for element in _elements(document):
        for item in (element, *element.attributes.values()):
            if item.namespaceURI == PANORAMA:
                places[item.localName] = item
    before = {name: _number(item) for name, item in places.items()}
    for side, first, added, length in (
        ("Width", "Left", (left, right), size[0]),
        ("Height", "Top", (top, bottom), size[1]),
    ):
        crop, start, full = f"CroppedAreaImage{side}Pixels", f"CroppedArea{first}Pixels", f"FullPano{side}Pixels"
        if not before.get(crop):
            continue
        scale = before[crop] / length  # a smaller copy of a panorama keeps the sizes of the whole one
        more = [round(margin * scale) for margin in added]
        place = before.get(start, 0) - more[0]
        _set(places, crop, before[crop] + sum(more))
        _set(places, start, max(0, place))
        _set(places, full, max(before.get(full, 0) + max(0, -place), max(0, place) + before[crop] + sum(more)))
    return _written(document) if places else xmp


def true_description(text: str, size: tuple[int, int], bands: int, pages: int) -> str:
    """ImageDescription as tifffile and ImageJ write it, with the shape that the file has; any other as it is."""
    width, height = size
    if text.startswith('{"shape":'):
        try:
            values = json.loads(text.rstrip("\0"))
            shape = list(values["shape"])
        except (ValueError, TypeError):
            return text
        page = [height, width, *([bands] if bands > 1 else [])]
        tail = shape[:-1] if bands == 1 and shape[-1:] == [1] else shape
        if tail[-len(page) :] == page and math.prod(tail[: -len(page)]) == pages:
            return text
        values.pop("axes", None)
        return json.dumps(values | {"shape": [*([pages] if pages > 1 else []), *page]})
    if text.startswith("ImageJ=") and images_of(text) != pages:
        lines = [line for line in text.split("\n") if not line.startswith(STACK)]
        return "\n".join([*lines[:1], *([f"images={pages}"] if pages > 1 else []), *lines[1:]])
    return text


def images_of(text: str) -> int:
    """How many pictures ImageJ's description says there are."""
    found = re.search(r"^images=(\d{1,9})\s*$", text, re.MULTILINE)
    return int(found[1]) if found else 1


def _parse(xmp: bytes | None) -> minidom.Document | None:
    if not xmp or b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:
        return None
    try:
        return minidom.parseString(xmp.strip(b"\0 \r\n\t"))
    except Exception:  # damaged XMP is kept as it is
        return None


def _elements(document: minidom.Document | None) -> list[Any]:
    return list(document.getElementsByTagName("*")) if document else []


def _written(document: minidom.Document | None) -> bytes:
    assert document is not None
    return b"".join(node.toxml().encode() for node in document.childNodes)


def _text(element: Any) -> str:
    return "".join(node.data for node in element.childNodes if node.nodeType == node.TEXT_NODE).strip()


def _number(item: Any) -> int:
    value = item.value if isinstance(item, minidom.Attr) else _text(item)
    return int(value) if re.fullmatch(r"\d{1,9}", value) else 0


def _set(places: dict[str, Any], name: str, value: int) -> None:
    item = places.get(name)
    if isinstance(item, minidom.Attr):
        item.value = str(value)
    elif item is not None:
        for node in list(item.childNodes):
            item.removeChild(node)
        item.appendChild(item.ownerDocument.createTextNode(str(value)))
