"""Frames as pictures: what the standard says of each step, and what pydicom makes of real files."""

import warnings
from io import BytesIO

import numpy
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from dicom_samples import Sample, samples
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import write_header
from fileroom.pixels.decoding import DecodingError
from fileroom.pixels.rendering import (
    PIXELS_MAX,
    RENDERABLE,
    RenderingTooLargeError,
    cost_bytes,
    picture_size,
    render,
)
from fileroom.pixels.view import JPEG, Region, View, ViewError, Window
from picture_parts import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    by_pydicom,
    bytes_of,
    decoded,
    image,
    item,
    lut_item,
    picture_of,
    shown,
    shown_of,
    stored_frame,
)

U8, U16, I16 = numpy.uint8, numpy.dtype("<u2"), numpy.dtype("<i2")


def row(*values: float, of: object = U16) -> numpy.ndarray:
    return numpy.array([values], of)


# What PS3.3 §C.11.2.1.2 says of a window of 0 and 100, and of 1, its own examples.
@pytest.mark.parametrize(
    ("center", "width", "function", "expected"),
    [
        (0, 100, "LINEAR", {-51: 0, -50: 0, 49: 255, 50: 255, 0: 129, -25: 64}),
        (0, 1, "LINEAR", {-1: 0, 0: 255, 1: 255}),
        (0, 100, "LINEAR_EXACT", {-51: 0, -50: 0, 0: 128, 25: 191, 50: 255}),
        (0, 1, "LINEAR_EXACT", {-1: 0, 0: 128, 1: 255}),
        # ((x - c) / w) of 0, a quarter and a half: 1 / (1 + exp(-4 * that)).
        (0, 100, "SIGMOID", {-5000: 0, -50: 30, 0: 128, 25: 186, 50: 225, 5000: 255}),
    ],
)
def test_a_window_is_what_the_standard_says(center, width, function, expected):
    data_set = image(row(*expected, of=I16), WindowCenter=center, WindowWidth=width)
    data_set.VOILUTFunction = function
    assert shown(data_set) == [list(expected.values())]
    plain = image(row(*expected, of=I16))
    assert shown(plain, window=Window(center, width, function)) == [list(expected.values())]


def test_stored_values_are_rescaled_with_their_sign():
    data_set = image(row(-1000, 0, 1000, of=I16), RescaleSlope="2", RescaleIntercept="-24")
    data_set.WindowCenter, data_set.WindowWidth = "-23.5", "4001"
    # They stand for -2024, -24 and 1976; the window goes from -2024 to 1976.
    assert shown(data_set) == [[0, 128, 255]]


def test_a_modality_table_begins_at_a_negative_value_and_holds_at_its_ends():
    data_set = image(row(-9, -2, -1, 0, 5, of=I16), WindowCenter=50.5, WindowWidth=101)
    data_set.ModalityLUTSequence = lut_item([3, -2, 16], [0, 50, 100], signed=True)
    assert shown(data_set) == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_voi_table_comes_before_the_windows_of_a_data_set_and_behind_that_of_a_request(syntax):
    data_set = image(row(0, 100, 200, 300), WindowCenter=150, WindowWidth=10)
    data_set.VOILUTSequence = lut_item([3, 100, 8], [255, 10, 20])
    if syntax == BIG_ENDIAN:
        data_set.PixelData = row(0, 100, 200, 300, of=">u2").tobytes()
        data_set.VOILUTSequence[0].LUTData = numpy.array([255, 10, 20], ">u2").tobytes()
    of = {"transfer_syntax_uid": syntax}
    assert shown(data_set, **of) == [[255, 255, 20, 20]]
    assert shown(data_set, window=Window(150, 10), **of) == [[0, 0, 255, 255]]
    del data_set.VOILUTSequence
    assert shown(data_set, **of) == [[0, 0, 255, 255]]


def test_the_first_of_several_windows_is_used():
    data_set = image(row(0, 1000), WindowCenter=[500, 0], WindowWidth=[1001, 10])
    assert shown(data_set) == [[0, 255]]


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": 40},
        {"WindowCenter": 40, "WindowWidth": 0},
        {"WindowCenter": 40, "WindowWidth": -1},
        {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "CUBIC"},
        {"WindowCenter": "", "WindowWidth": ""},
        {"VOILUTSequence": []},
        {"VOILUTSequence": lut_item([9, 0, 16], [1, 2])},
    ],
)
def test_what_cannot_be_used_is_passed_over_for_the_range_of_the_pixels(attributes):
    assert shown(image(row(1000, 1500, 2000), **attributes)) == [[0, 128, 255]]


def test_the_range_leaves_out_what_is_padding():
    pixels = row(-2000, 0, 50, 100, of=I16)
    data_set = image(pixels)
    data_set.add_new(0x00280120, "SS", -2000)
    assert shown(data_set) == [[0, 0, 128, 255]]
    data_set.add_new(0x00280121, "SS", 10)
    assert shown(data_set) == [[0, 0, 0, 255]]
    everything = image(row(7, 7))
    everything.add_new(0x00280120, "US", 7)
    assert shown(everything) == [[255, 255]]


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (500, 255), (-500, 0)])
def test_an_image_of_one_grey_is_white_where_it_is_something(value, grey):
    assert shown(image(row(value, value, of=I16))) == [[grey, grey]]


def test_pixels_of_up_to_8_bits_are_shown_as_they_are():
    assert shown(image(row(10, 20, of=U8))) == [[10, 20]]
    assert shown(image(row(0, 7, 15, of=U8), BitsStored=4)) == [[0, 119, 255]]


def test_monochrome1_is_white_where_it_is_least_and_the_shape_of_the_lut_says_the_same():
    values = row(0, 51, 255, of=U8)
    turned, straight = [[255, 204, 0]], [[0, 51, 255]]
    assert shown(image(values, PhotometricInterpretation="MONOCHROME1")) == turned
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        data_set = image(values, PhotometricInterpretation=photometric)
        data_set.PresentationLUTShape = "INVERSE"
        assert shown(data_set) == turned
        data_set.PresentationLUTShape = "IDENTITY"
        assert shown(data_set) == straight


def test_only_the_bits_that_are_stored_count():
    overlaid = row(0xF000, 0x1FFF, 0x0800)
    data_set = image(overlaid, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    assert shown(data_set) == [[0, 255, 128]]
    above = image(row(0x0000, 0xFFF0, 0x800F), BitsStored=12, HighBit=15)
    above.WindowCenter, above.WindowWidth = 2048, 4096
    assert shown(above) == [[0, 255, 128]]
    signed = image(row(0x0FFF, 0x0000, 0x0001), BitsStored=12, PixelRepresentation=1)
    assert shown(signed) == [[0, 128, 255]]


@pytest.mark.parametrize("strip_pixels", [1, 1 << 18])
def test_wide_integers_and_numbers_with_a_point_are_shown(monkeypatch, strip_pixels):
    monkeypatch.setattr("fileroom.pixels.samples.STRIP_PIXELS", strip_pixels)
    wide = numpy.array([[-100_000], [0], [100_000]], "<i4")
    assert shown(image(wide)) == [[0], [128], [255]]
    assert shown(image(wide), window=Window(0, 2, "LINEAR_EXACT")) == [[0], [128], [255]]
    most = numpy.array([[0], [1 << 31], [(1 << 32) - 1]], "<u4")
    assert shown(image(most)) == [[0], [128], [255]]
    for kind in ("<f4", "<f8"):
        numbers = numpy.array([[-1.5], [0], [1.5], [numpy.nan], [numpy.inf]], kind)
        data_set = image(numbers)
        del data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation
        assert shown(data_set) == [[0], [128], [255], [0], [255]]


def test_frames_of_one_bit_begin_inside_a_byte():
    bits = numpy.array([[[1, 0, 1]], [[0, 1, 1]]], U8)
    data_set = image(bits, NumberOfFrames=2, BitsAllocated=1, BitsStored=1)
    data_set.PixelData = numpy.packbits(bits.ravel(), bitorder="little").tobytes() + b"\0"
    assert shown(data_set, 0) == [[255, 0, 255]]
    assert shown(data_set, 1) == [[0, 255, 255]]


def enhanced(**shared: object) -> Dataset:
    frames = numpy.array([[[0, 1000]], [[0, 1000]], [[0, 1000]]], U16)
    data_set = image(frames, NumberOfFrames=3, WindowCenter=0, WindowWidth=1)
    groups = []
    for center in (250.5, 500.5):
        window = item(WindowCenter=center, WindowWidth=2 * center)
        rescale = item(RescaleIntercept=0, RescaleSlope=0.5, RescaleType="US")
        group = item(FrameVOILUTSequence=window, PixelValueTransformationSequence=rescale)
        groups.append(group[0])
    data_set.PerFrameFunctionalGroupsSequence = Sequence(groups)
    if shared:
        data_set.SharedFunctionalGroupsSequence = item(**shared)
    return data_set


@pytest.mark.parametrize("undefined", [False, True])
def test_each_frame_of_an_enhanced_image_has_its_own_values(undefined):
    data_set = enhanced(FrameVOILUTSequence=item(WindowCenter=1000.5, WindowWidth=2001))
    data_set["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    for each in data_set.PerFrameFunctionalGroupsSequence:
        each.is_undefined_length_sequence_item = undefined
    # The first stands for 500 at most, of 500 that are seen; the second of 1000.
    assert shown(data_set, 0) == [[0, 255]]
    assert shown(data_set, 1) == [[0, 128]]
    # The third has no item: what is shared counts, and before that what the data set says.
    assert shown(data_set, 2) == [[0, 128]]
    assert shown(enhanced(), 2) == [[255, 255]]


def palette_image(pixels: numpy.ndarray, first: int, bits: int, **attributes: object) -> Dataset:
    data_set = image(pixels, PhotometricInterpretation="PALETTE COLOR", **attributes)
    scale = 257 if bits == 16 else 1
    for colour, entries in {"Red": [0, 255, 9], "Green": [1, 2, 3], "Blue": [7, 8, 255]}.items():
        table = f"{colour}PaletteColorLookupTable"
        signed = data_set.PixelRepresentation == 1
        tag = {"Red": 0x00281101, "Green": 0x00281102, "Blue": 0x00281103}[colour]
        data_set.add_new(tag, "SS" if signed else "US", [3, first, bits])
        words = numpy.array(entries, "<u2") * scale
        setattr(data_set, f"{table}Data", words.astype("<u2" if bits == 16 else "u1").tobytes())
        if bits == 8:
            setattr(data_set, f"{table}Data", bytes([*entries, 0]))
    return data_set


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_colours_and_holds_at_its_ends(bits):
    expected = [[[0, 1, 7], [0, 1, 7], [255, 2, 8], [9, 3, 255], [9, 3, 255]]]
    assert shown(palette_image(row(0, 5, 6, 7, 200, of=U8), 5, bits)) == expected
    signed = row(-9, -1, 0, 1, 30, of=I16)
    assert shown(palette_image(signed, -1, bits)) == expected
    # A window is of greys only (PS3.3 §C.11.2.1.2).
    windowed = palette_image(signed, -1, bits, WindowCenter=0, WindowWidth=1)
    assert shown(windowed, window=Window(5, 2)) == expected


def test_colours_lie_by_pixel_or_by_plane():
    colours = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]]
    pixels = numpy.array(colours, U8)
    assert shown(image(pixels)) == colours
    planes = image(pixels, PlanarConfiguration=1)
    planes.PixelData = pixels.transpose(2, 0, 1).tobytes()
    assert shown(planes) == colours
    wide = image((pixels.astype(U16) << 8) + 99)
    assert shown(wide) == colours


# The corners of the cube by the equations of PS3.3 §C.7.6.3.1.2, as dcmj2pnm rounds them too.
FULL = {(76, 85, 255): (254, 0, 0), (149, 43, 21): (0, 255, 0), (29, 255, 107): (0, 0, 254)}
GREYS = {(0, 128, 128): (0, 0, 0), (128, 128, 128): (128, 128, 128)}
PARTIAL = {(16, 128, 128): (0, 0, 0), (235, 128, 128): (255, 255, 255), (81, 90, 240): (254, 0, 0)}


@pytest.mark.parametrize(("space", "known"), [("YBR_FULL", FULL | GREYS)])
def test_luminance_and_chrominance_become_red_green_and_blue(space, known):
    pixels = numpy.array([list(known)], U8)
    data_set = image(pixels, PhotometricInterpretation=space)
    made = numpy.array(shown(data_set)[0], int)
    assert abs(made - numpy.array(list(known.values()))).max() <= 1


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    ("space", "known"), [("YBR_FULL_422", FULL | GREYS), ("YBR_PARTIAL_422", PARTIAL)]
)
def test_two_pixels_share_their_chrominance(space, known, syntax):
    pairs = numpy.array([[y, y, cb, cr] for y, cb, cr in known], U8).tobytes()
    data_set = image(numpy.zeros((1, 2 * len(known), 3), U8), PhotometricInterpretation=space)
    data_set.PixelData = pairs
    made = numpy.array(shown(data_set, transfer_syntax_uid=syntax)[0], int)
    expected = numpy.repeat(numpy.array(list(known.values())), 2, axis=0)
    assert abs(made - expected).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_big_endian_words_are_turned_round(bits):
    pixels = numpy.arange(8, dtype=U8).reshape(2, 4) * 36
    data_set = image(pixels.astype(f"<u{bits // 8}"))
    data_set.WindowCenter, data_set.WindowWidth = 128, 256
    expected = shown(data_set)
    words = pixels.astype(f">u{bits // 8}").tobytes()
    if bits == 8:
        words = pixels.reshape(-1, 2)[:, ::-1].tobytes()
    data_set.PixelData = words
    data_set["PixelData"].VR = "OW"
    assert shown(data_set, transfer_syntax_uid=BIG_ENDIAN) == expected


GRADIENT = numpy.arange(24, dtype=U8).reshape(4, 6) * 10


def test_a_part_is_cut_out_scaled_and_flipped():
    data_set = image(GRADIENT)
    assert shown(data_set, region=Region(1, 2, 3, 2)) == GRADIENT[2:4, 1:4].tolist()
    assert shown(data_set, region=Region(0.5, 0.5, in_fractions=True)) == GRADIENT[2:, 3:].tolist()
    assert shown(data_set, flipped_horizontally=True) == GRADIENT[:, ::-1].tolist()
    assert shown(data_set, flipped_vertically=True) == GRADIENT[::-1].tolist()
    small = shown(data_set, columns_max=3, rows_max=9)
    assert small == numpy.rint(GRADIENT.reshape(2, 2, 3, 2).mean(axis=(1, 3))).tolist()
    twice = shown(data_set, region=Region(4, 3), columns_max=4, rows_max=4)
    assert numpy.array(twice).shape == (2, 4)


def test_what_is_seen_of_a_part_is_what_is_seen_of_the_whole():
    data_set = image(GRADIENT.astype(U16) * 100)
    whole = numpy.array(shown(data_set))
    assert shown(data_set, region=Region(1, 2, 3, 2)) == whole[2:4, 1:4].tolist()


def test_the_aspect_of_pixels_counts_where_a_size_is_asked_for():
    data_set = image(numpy.zeros((10, 20), U8), PixelAspectRatio=["2", "1"])
    assert numpy.array(shown(data_set)).shape == (10, 20)
    assert numpy.array(shown(data_set, columns_max=40, rows_max=40)).shape == (40, 40)
    spaced = image(numpy.zeros((10, 20), U8), PixelSpacing=["1.0", "0.5"])
    assert numpy.array(shown(spaced, columns_max=40)).shape == (40, 40)


def test_a_jpeg_is_baseline_of_8_bits_and_its_quality_is_what_was_asked():
    noise = numpy.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(U8)
    data = bytes_of(image(noise))
    sizes = []
    for quality in (10, 50, 95):
        view = View(quality=quality)
        frame = stored_frame(data, EXPLICIT)
        made = render(frame, shown_of(data, EXPLICIT), EXPLICIT, view)
        assert made[:2] == b"\xff\xd8"
        assert b"\xff\xc0\x00\x11\x08" in made  # SOF0, of 8 bits
        sizes.append(len(made))
    assert sizes == sorted(sizes)
    assert abs(decoded(made, JPEG).astype(int) - noise).mean() < 4
    assert picture_of(bytes_of(image(noise[..., 0])), EXPLICIT, view=View()).shape == (64, 64)


def test_what_is_too_large_is_refused_by_its_numbers_alone():
    data_set = image(numpy.zeros((1, 1), U8))
    small = shown_of(bytes_of(data_set), EXPLICIT)
    data_set.Rows = data_set.Columns = 65535
    huge = shown_of(bytes_of(data_set), EXPLICIT)
    with pytest.raises(RenderingTooLargeError, match=str(PIXELS_MAX)):
        picture_size(huge, View())
    with pytest.raises(RenderingTooLargeError, match=str(PIXELS_MAX)):
        picture_size(small, View(columns_max=60_000, rows_max=60_000))
    with pytest.raises(RenderingTooLargeError):
        render(b"", small, EXPLICIT, View(columns_max=60_000, rows_max=60_000))
    with pytest.raises(ViewError):
        picture_size(small, View(region=Region(1, 0)))
    assert picture_size(small, View()) == (1, 1)
    costs = [cost_bytes(small, EXPLICIT, View(columns_max=each), 1) for each in (1, 8000)]
    assert costs[0] + 8000 * 8000 < costs[1]


def refused(**attributes: object) -> None:
    shape = (2, 2, 3) if attributes.get("SamplesPerPixel") == 3 else (2, 2)
    with pytest.raises(InstanceError):
        shown(image(numpy.zeros(shape, U8), **attributes))


def test_what_is_no_image_for_the_eye_is_refused():
    refused(PhotometricInterpretation="PALETTE COLOR")
    refused(PhotometricInterpretation="RGB")
    refused(PhotometricInterpretation="HSV", SamplesPerPixel=3)
    refused(PhotometricInterpretation="MONOCHROME2", SamplesPerPixel=3)
    with pytest.raises(InstanceError):
        shown(image(numpy.zeros((2, 2, 4), U8), PhotometricInterpretation="CMYK"))
    with pytest.raises(InstanceError):
        shown(image(numpy.zeros((2, 2), "<u8")))
    wide = image(numpy.zeros((2, 2), ">u4"))
    with pytest.raises(InstanceError):
        shown(wide, transfer_syntax_uid=BIG_ENDIAN)


def test_a_frame_that_is_cut_off_is_refused():
    data = bytes_of(image(numpy.zeros((4, 4), U16)))
    with pytest.raises(DecodingError):
        render(bytes(31), shown_of(data, EXPLICIT), EXPLICIT, View())


# --- real files ---------------------------------------------------------------------------


def read_by_pydicom(sample: Sample) -> Dataset:
    head = write_header("1.2.3", "1.2.3", sample.transfer_syntax_uid, source_ae_title=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(head + sample.data_set))


# Of these pydicom's own files the tests above, or those of the codecs, say what they become.
APART = {
    "JPEG2000-embedded-sequence-delimiter.dcm",  # its codestream says it is of another size
    "emri_small_jpeg_2k_lossless_too_short.dcm",
    "bad_sequence.dcm",
}


def renderable() -> list[Sample]:
    found = []
    for sample in samples():
        if sample.hostile or sample.name in APART:
            continue
        if sample.transfer_syntax_uid not in RENDERABLE or sample.transfer_syntax_uid.endswith(
            ".1.99"
        ):
            continue
        found.append(sample)
    return found


def agrees(sample: Sample) -> bool:
    """Whether the first frame is shown as pydicom has it; False where pydicom has no opinion."""
    data_set = read_by_pydicom(sample)
    if "PixelData" not in data_set or data_set.get("BitsAllocated", 64) > 16:
        return False
    if "PerFrameFunctionalGroupsSequence" in data_set:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = by_pydicom(data_set).astype(int)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError, KeyError):
        return False
    made = picture_of(sample.data_set, sample.transfer_syntax_uid).astype(int)
    assert made.shape == expected.shape, sample.name
    # Lossy JPEG is decoded by another codec, and colours are rounded otherwise.
    is_lossy = sample.transfer_syntax_uid[-2:] in ("50", "51", "91", "81")
    most = 6 if is_lossy or made.ndim == 3 else 1
    assert abs(made - expected).max() <= most, sample.name
    return True


def test_small_files_are_shown_as_pydicom_has_them():
    small = [each for each in renderable() if len(each.data_set) < 300_000]
    assert sum(map(agrees, small)) > 100


@pytest.mark.slow
def test_large_files_are_shown_as_pydicom_has_them():
    large = [each for each in renderable() if 300_000 <= len(each.data_set) < 40_000_000]
    assert sum(map(agrees, large)) > 20
