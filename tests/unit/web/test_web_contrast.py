"""The colours of the pages can be told apart by people who see little of contrast (WCAG 2.2, 1.4.3
and 1.4.11), by day and by night."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

import fileroom.web

STYLE = (Path(fileroom.web.__file__).parent / "static" / "page.css").read_text()
DAY, NIGHT = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)
TEXT = [
    *(("ink", "ground"), ("ink", "sheet"), ("ink", "mark")),
    *(("quiet", "ground"), ("quiet", "sheet"), ("quiet", "mark")),
    *(("accent", "ground"), ("accent", "sheet"), ("accent", "mark")),
    *(("on-accent", "accent"), ("warn", "warn-ground")),
]
BORDERS = [("quiet", "sheet"), ("accent", "sheet")]  # of fields, of what has the focus


def luminance(colour):
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_both_palettes_have_the_same_names():
    assert DAY.keys() == NIGHT.keys()
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert all(low < high for low, high in pairwise([0, luminance("#808080"), 1]))


@pytest.mark.parametrize("palette", [DAY, NIGHT], ids=["day", "night"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [(*each, 4.5) for each in TEXT] + [(*each, 3.0) for each in BORDERS],
)
def test_what_is_written_can_be_read(palette, front, back, least):
    assert contrast(palette[front], palette[back]) >= least
