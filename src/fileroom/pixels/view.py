"""How a frame is to be shown, and the query parameters that say so (PS3.18 §8.3.5). Pure."""

import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from fileroom.errors import PeerError

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
MEDIA_TYPES: Final = (JPEG, PNG)  # the default first (PS3.18 Table 8.7.4-1)
QUALITY: Final = 90  # of JPEG where nothing is said
SIDE_MAX: Final = 65_500  # which no JPEG may exceed
FUNCTIONS: Final = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
ANNOTATIONS: Final = ("patient", "technique")

_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_DECIMAL: Final = re.compile(
    r"[+-]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})([eE][+-]?[0-9]{1,2})?"
)


class ViewError(PeerError):
    """What is asked of a picture is malformed, or cannot be of this image."""


class Window(NamedTuple):
    """A window in the units that the Modality LUT gives (PS3.3 §C.11.2.1.2).

    Attributes:
        function: one of `FUNCTIONS`.
    """

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def valid(self) -> bool:
        """Whether the function is defined for it."""
        least = 1.0 if self.function == "LINEAR" else 0.0
        finite = math.isfinite(self.center) and math.isfinite(self.width)
        wide = self.width >= least if least else self.width > 0
        return finite and wide and self.function in FUNCTIONS


class Region(NamedTuple):
    """A rectangle of the source image.

    Attributes:
        left, top, width, height: in pixels from the top left corner, or in fractions of the
            image's width and height. None reaches to the right or the bottom edge.
    """

    left: float = 0
    top: float = 0
    width: float | None = None
    height: float | None = None
    in_fractions: bool = False

    def within(self, columns: int, rows: int) -> tuple[float, float, float, float]:
        """The part of it that lies in an image of this size: left, top, width, height in pixels.

        Raises:
            ViewError: there is none.
        """
        across, down = (columns, rows) if self.in_fractions else (1, 1)
        left, top = self.left * across, self.top * down
        right = columns if self.width is None else min(columns, left + self.width * across)
        bottom = rows if self.height is None else min(rows, top + self.height * down)
        if not (0 <= left < right and 0 <= top < bottom):
            raise ViewError(f"the region lies outside of {columns} x {rows} pixels")
        return left, top, right - left, bottom - top


class View(Struct, frozen=True, kw_only=True):
    """How one frame is to be shown; by default as it is, as JPEG.

    Attributes:
        media_type: one of `MEDIA_TYPES`.
        window: takes the place of what the data set says.
        columns_max, rows_max: of the box that the picture fills as far as its aspect allows,
            enlarged too; None: that side is free; both: as many pixels as the source has.
        quality: of JPEG, from 1 to 100, as libjpeg counts.

    Raises:
        ViewError: a value cannot be.
    """

    media_type: str = JPEG
    window: Window | None = None
    columns_max: int | None = None
    rows_max: int | None = None
    region: Region | None = None
    flipped_horizontally: bool = False
    flipped_vertically: bool = False
    quality: int = QUALITY

    def __post_init__(self) -> None:
        assert self.media_type in MEDIA_TYPES
        if self.window is not None and not self.window.valid:
            raise ViewError("a window is a center, a width above 0 and one of three functions")
        for side in (self.columns_max, self.rows_max):
            if side is not None and not 1 <= side <= SIDE_MAX:
                raise ViewError(f"the side of a viewport is from 1 to {SIDE_MAX} pixels")
        if not 1 <= self.quality <= 100:
            raise ViewError("the quality is from 1 to 100")

    def key(self) -> str:
        """Tells this view from any other one."""
        return repr(self)


def parse_view(query: Mapping[str, str], media_type: str) -> View:
    """The view that the parameters of a rendered resource ask for (PS3.18 §8.3.5.1).

    Nothing is annotated, and no profile is put into the picture: `annotation` is checked and
    passed over, of `iccprofile` only "no" can be had. Parameters of other names are passed over.

    Raises:
        ViewError: a parameter is malformed, or asks for a profile.
    """
    _check_annotation(query)
    if query.get("iccprofile", "no") != "no":
        raise ViewError("no ICC profile is put into a picture: iccprofile is no, or left out")
    columns_max, rows_max, region, flips = _viewport(query)
    return View(
        media_type=media_type,
        window=_window(query),
        columns_max=columns_max,
        rows_max=rows_max,
        region=region,
        flipped_horizontally=flips[0],
        flipped_vertically=flips[1],
        quality=_integer(query["quality"], "quality") if "quality" in query else QUALITY,
    )


def parse_thumbnail_view(query: Mapping[str, str], media_type: str, side: int) -> View:
    """The view of a thumbnail, whose only parameter is `viewport=vw,vh` (PS3.18 §8.3.5.2).

    Args:
        side: of the box that it fills where nothing is said.
    """
    columns_max, rows_max, region, _ = _viewport(query)
    if region is not None:
        raise ViewError("the viewport of a thumbnail is a width and a height")
    return View(media_type=media_type, columns_max=columns_max or side, rows_max=rows_max or side)


def _check_annotation(query: Mapping[str, str]) -> None:
    asked = query.get("annotation")
    if asked is not None and not set(asked.split(",")) <= set(ANNOTATIONS):
        raise ViewError("annotation is patient or technique, or both separated by a comma")


def _window(query: Mapping[str, str]) -> Window | None:
    asked = query.get("window")
    if asked is None:
        return None
    parts = asked.split(",")
    if len(parts) != 3:
        raise ViewError("window is a center, a width and a function, separated by commas")
    # PS3.18 spells the functions in small letters and with a hyphen.
    function = parts[2].upper().replace("-", "_")
    return Window(_decimal(parts[0], "window"), _decimal(parts[1], "window"), function)


def _viewport(
    query: Mapping[str, str],
) -> tuple[int | None, int | None, Region | None, tuple[bool, bool]]:
    """Width and height of the box, region, and whether it is flipped horizontally, vertically."""
    asked = query.get("viewport")
    if asked is None:
        return None, None, None, (False, False)
    parts = asked.split(",")
    if not 2 <= len(parts) <= 6:
        raise ViewError("viewport is a width, a height, and up to four numbers of a region")
    columns, rows = (_integer(each, "viewport") for each in parts[:2])
    given = [_decimal(each, "viewport") if each else None for each in parts[2:]]
    given += [None] * (4 - len(given))
    left, top, width, height = given
    # Of the size the sign says whether it is flipped; of the rest it says nothing.
    flips = (width is not None and width < 0, height is not None and height < 0)
    if all(each is None for each in given):
        return columns, rows, None, flips
    region = Region(
        abs(left or 0),
        abs(top or 0),
        None if width is None else abs(width),
        None if height is None else abs(height),
    )
    return columns, rows, region, flips


def _integer(text: str, name: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ViewError(f"{name} has a part that is no whole number")
    return int(text)


def _decimal(text: str, name: str) -> float:
    if _DECIMAL.fullmatch(text) is None:
        raise ViewError(f"{name} has a part that is no decimal number")
    return float(text)
