"""A client of `invertfill serve`, for programs that are not to load a model themselves.

It needs nothing beside the standard library, unless pictures are given as PIL images or arrays.

>>> from invertfill.client import Client
>>> pictures = Client("http://127.0.0.1:8000").fill("photo.jpg", "mask.png", seed=7)  # doctest: +SKIP
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invertfill.errors import InputError

if TYPE_CHECKING:
    from invertfill.imaging.sources import ImageSource


class Client:
    """One server.

    Args:
        address: as the server prints it.
        token: that the server asks for, if it does.
        timeout: seconds without a byte from the server after which a call is given up.
    """

    def __init__(self, address: str = "http://127.0.0.1:8000", token: str | None = None, timeout: float = 300) -> None:
        self.address = address.rstrip("/")
        self.token = token
        self.timeout = timeout

    def fill(self, image: ImageSource, mask: ImageSource | None = None, **fields: Any) -> list[bytes]:
        """Fill the holes of a picture.

        Args:
            image: a path, a file's bytes, an open binary file, a PIL image or an array. The last two are sent as a PNG,
                or as a TIFF where that can't hold them.
            mask: the same; white (or True) = hole. Without it, the hole is where the picture is transparent.
            fields: model, seed, samples, format, invert_mask, resize_mask, grow, feather, box, as the server's /docs
                says.

        Returns:
            The files of the filled pictures, one for each sample.

        Raises:
            InputError: the server refused, for the reason that the message gives.
            ConnectionError: it can't be reached.
        """
        files: dict[str, ImageSource] = {"image": image} if mask is None else {"image": image, "mask": mask}
        return self._pictures("fill", files, fields)

    def outpaint(self, image: ImageSource, **fields: Any) -> list[bytes]:
        """Draw what lies beyond a picture's sides; see `fill`.

        Args:
            fields: left, right, top, bottom ("120" or "25%"), or aspect ("16:9"); model, seed, samples, format.
        """
        return self._pictures("outpaint", {"image": image}, fields)

    def models(self) -> list[dict[str, Any]]:
        """Name, domain, licence and pixels of each model; the first is the default."""
        models: list[dict[str, Any]] = self._ask("models")["models"]
        return models

    def _pictures(self, what: str, files: dict[str, ImageSource], fields: dict[str, Any]) -> list[bytes]:
        body = {name: base64.b64encode(_read(source, name)).decode() for name, source in files.items()}
        answer = self._ask(what, json.dumps({**body, **fields}).encode())
        return [base64.b64decode(picture["data"]) for picture in answer["pictures"]]

    def _ask(self, what: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            request = urllib.request.Request(f"{self.address}/v1/{what}", body, headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise InputError(f"{self.address}: {_sentence(error)}") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise ConnectionError(f"{self.address}: answers, but not as `invertfill serve` does") from None
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(f"{self.address}: can't be reached ({getattr(error, 'reason', error)})") from None
        except ValueError as error:
            raise InputError(f"{self.address}: {error}; accepted: an address such as http://127.0.0.1:8000") from None


def _read(source: ImageSource, what: str) -> bytes:
    """The file of an image or a mask."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | Path):
        try:
            return Path(source).read_bytes()
        except OSError as error:
            raise InputError(f"{source}: cannot be read ({error.strerror})") from None
    from invertfill.imaging.sources import Encoded, settle

    settled = settle(source, what)
    if isinstance(settled, Encoded):
        return settled.data
    from PIL import Image

    from invertfill.imaging.masks import read_mask
    from invertfill.imaging.reading import open_image
    from invertfill.imaging.writing import encode_image
    from invertfill.notes import silent

    if what == "mask":
        return encode_image(Image.fromarray(read_mask(settled, None)), "mask.png", note=silent)
    picture = open_image(settled, note=silent)
    try:
        return encode_image(picture, "image.png", note=_refuse)
    except InputError:
        return encode_image(picture, "image.tif", note=silent)


def _refuse(note: str) -> None:
    """What a format would lose is a reason to take another."""
    raise InputError(note)


def _sentence(error: urllib.error.HTTPError) -> str:
    """Why, in the server's words."""
    try:
        return str(json.load(error)["error"])
    except (ValueError, LookupError, TypeError):
        return f"refused with status {error.code}"
