"""Frames are shown as DCMTK shows them, by its own codecs and pipeline: every file of the corpus
that both can show."""

import subprocess

import numpy
import pytest

from dicom_samples import Sample, samples
from fileroom.dicom.encoding import NATIVE
from fileroom.dicom.instance_error import InstanceError
from fileroom.pixels.rendering import RENDERABLE
from fileroom.pixels.view import PNG, View, Window
from peers import program
from picture_parts import picture_of, shown_of

JPEG = "1.2.840.10008.1.2.4."
TOOLS = {
    **dict.fromkeys(NATIVE, "dcm2pnm"),
    "1.2.840.10008.1.2.5": "dcm2pnm",
    **{JPEG + each: "dcmj2pnm" for each in ("50", "51", "53", "55", "57", "70")},
    **{JPEG + each: "dcml2pnm" for each in ("80", "81")},
}
DEFLATED = "1.2.840.10008.1.2.1.99"
# Its JPEGs say by their JFIF marker that they are YCbCr, and their data sets that they are RGB.
PASSED_OVER = "IM_0027_fMAP.dcm"  # whose frames have a slope each, which DCMTK passes over
MISNAMED = {"example.dcm", "example2.dcm", "example-mg.dcm"}


def shown_by_both() -> list[Sample]:
    return [
        each
        for each in samples()
        if not each.hostile
        and each.transfer_syntax_uid in TOOLS.keys() & RENDERABLE - {DEFLATED}
        and each.name not in MISNAMED | {PASSED_OVER}
    ]


def pnm(data: bytes) -> numpy.ndarray:
    """What a PGM or PPM file of 8 bits holds."""
    kind, rest = data[:2], data[2:]
    numbers: list[int] = []
    while len(numbers) < 3:
        line, _, rest = rest.lstrip().partition(b"\n")
        numbers += [int(each) for each in line.partition(b"#")[0].split()]
    columns, rows, most = numbers
    assert most == 255
    shape = (rows, columns) if kind == b"P5" else (rows, columns, 3)
    return numpy.frombuffer(rest, numpy.uint8, int(numpy.prod(shape))).reshape(shape)


def by_dcmtk(sample: Sample, *options: str) -> numpy.ndarray | None:
    """The first frame; None where DCMTK does not show it."""
    tool = program(TOOLS[sample.transfer_syntax_uid], package="dcmtk")
    command = [tool, "+F", "1", "-O", "+op", *options, str(sample.path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    return pnm(done.stdout) if done.returncode == 0 and done.stdout[:1] == b"P" else None


def agree(sample: Sample) -> bool:
    """Whether there was something to compare; then it is the same."""
    data, syntax = sample.data_set, sample.transfer_syntax_uid
    try:
        said = shown_of(data, syntax)
    except (AssertionError, InstanceError):
        return False  # no image
    view, options = View(media_type=PNG), []
    if said.image.samples == 1 and said.palette is None:
        # The windows and tables of data sets are chosen otherwise there; a window is a window.
        view = View(media_type=PNG, window=Window(100, 300))
        options = ["+Ww", "100", "300"]
    theirs = by_dcmtk(sample, *options)
    if theirs is None:
        return False
    try:
        ours = picture_of(data, syntax, view=view)
    except InstanceError:
        return False
    if ours.ndim < theirs.ndim:
        theirs = theirs[..., 0]
    assert ours.shape == theirs.shape
    # It rounds what it rescaled, and colours are rounded otherwise.
    most = 4 if ours.ndim == 3 else 1 if said.slope == int(said.slope) else 2
    assert abs(ours.astype(int) - theirs).max() <= most
    return True


# One of each kind, all of pydicom's own.
ALWAYS = (
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "MR_small_RLE.dcm",
    "JPEG-lossy.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
)


@pytest.mark.parametrize("name", ALWAYS)
def test_images_of_each_kind_are_shown_as_dcmtk_shows_them(name):
    assert agree(next(each for each in shown_by_both() if each.name == name))


@pytest.mark.slow
@pytest.mark.parametrize("sample", shown_by_both(), ids=lambda each: each.name[:50])
def test_a_frame_is_shown_as_dcmtk_shows_it(sample):
    agree(sample)
