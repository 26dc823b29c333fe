"""Accept fields that real clients send, and what they get (PS3.18 §8.7)."""

import pytest

from fileroom.dicomweb.negotiate import (
    DICOM_JSON,
    FRAME_MEDIA_TYPE,
    choose_frames,
    choose_instance,
    choose_model,
    first_of,
)
from fileroom.dicomweb.wado.transcoded import makes
from fileroom.retrieve.made_frames import forms_of
from fileroom.wire.media_type import MediaTypeError

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
JLS = "1.2.840.10008.1.2.4.80"
RLE = "1.2.840.10008.1.2.5"
MPEG2 = "1.2.840.10008.1.2.4.100"

CLIENT_DEFAULT = 'multipart/related; type="application/dicom"'  # dicomweb-client 0.61
CLIENT_OCTETS = 'multipart/related; type="application/octet-stream"'
OHIF_FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"
CLIENT_ANY = 'multipart/related; type="*/*"'


def instance(accept, stored, *, single=True):
    choice = choose_instance((accept,), stored, single=single, makes=makes(stored))
    return choice and (choice.multipart, choice.content_type)


def frames(accept, stored, *, single=True):
    choice = choose_frames((accept,), stored, single=single, makes=forms_of(stored))
    return choice and (choice.multipart, choice.content_type)


# --- instances


@pytest.mark.parametrize("stored", [EXPLICIT, IMPLICIT, BIG, JPEG, JLS])
@pytest.mark.parametrize(
    "accept",
    [
        CLIENT_DEFAULT + "; transfer-syntax=*",
        CLIENT_ANY + ";transfer-syntax=*",
        "multipart/related; transfer-syntax=*",
        "*/*; transfer-syntax=*",
        'multipart/related; type="application/dicom; transfer-syntax=*"',
    ],
)
def test_instances_come_as_they_are_stored_where_any_transfer_syntax_will_do(stored, accept):
    for single in (True, False):
        assert instance(accept, stored, single=single) == (
            True,
            f"application/dicom; transfer-syntax={stored}",
        )


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        (EXPLICIT, EXPLICIT),
        (IMPLICIT, EXPLICIT),
        (BIG, EXPLICIT),
        ("1.2.840.10008.1.2.1.99", EXPLICIT),
        (RLE, EXPLICIT),
        (JLS, EXPLICIT),
        ("1.2.840.10008.1.2.4.70", EXPLICIT),
        ("1.2.840.10008.1.2.4.90", EXPLICIT),
        ("1.2.840.10008.1.2.4.201", EXPLICIT),
        *((f"1.2.840.10008.1.2.4.{n}", None) for n in (50, 51, 53, 55, 81, 91, 203)),
        *((f"1.2.840.10008.1.2.4.{n}", None) for n in (92, 93, 110, 112)),
        (MPEG2, None),
        ("1.2.3.4", None),
    ],
)
@pytest.mark.parametrize(
    "accept", [CLIENT_DEFAULT, CLIENT_ANY, "multipart/related", "multipart/*", "*/*"]
)
def test_without_a_transfer_syntax_instances_are_explicit_but_where_loss_may_be(
    stored, given, accept
):
    # PS3.18 §8.7.3.4; None: as it is stored
    for single in (True, False):
        assert instance(accept, stored, single=single) == (
            True,
            f"application/dicom; transfer-syntax={given or stored}",
        )


@pytest.mark.parametrize("accept", ["application/dicom", "application/*", "Application/DICOM;q=.5"])
def test_one_instance_may_come_bare_and_a_study_may_not(accept):
    if ".5" in accept:
        accept = accept.replace("q=.5", "q=0.5")
    assert instance(accept, JLS) == (False, f"application/dicom; transfer-syntax={EXPLICIT}")
    assert instance(accept, JLS, single=False) is None


def test_a_named_transfer_syntax_is_given_if_it_is_the_stored_one_or_can_be_made():
    for stored in (JLS, JPEG, BIG, IMPLICIT):
        assert instance(CLIENT_DEFAULT + f"; transfer-syntax={EXPLICIT}", stored) == (
            True,
            f"application/dicom; transfer-syntax={EXPLICIT}",
        )
        for other in {JLS, JPEG, BIG, IMPLICIT} - {stored}:
            assert instance(CLIENT_DEFAULT + f"; transfer-syntax={other}", stored) is None
    assert instance(CLIENT_DEFAULT + f"; transfer-syntax={EXPLICIT}", MPEG2) is None
    named = CLIENT_DEFAULT + f"; transfer-syntax={JLS}"
    assert instance(named, JLS) == (True, f"application/dicom; transfer-syntax={JLS}")
    assert instance(named, EXPLICIT) is None
    assert instance(f"{named}, {CLIENT_DEFAULT};transfer-syntax={JPEG};q=0.1", JPEG) is not None


def test_the_most_wanted_range_that_can_be_had_is_chosen():
    accept = f"application/dicom;q=0.4, {CLIENT_DEFAULT};q=0.5"
    assert instance(accept, JPEG) == (True, f"application/dicom; transfer-syntax={JPEG}")
    accept = f"application/dicom;q=0.6, {CLIENT_DEFAULT};q=0.5"
    assert instance(accept, JPEG) == (False, f"application/dicom; transfer-syntax={JPEG}")
    assert instance("application/dicom;q=0, text/html", JPEG) is None


def test_the_query_parameter_counts_before_the_field():
    # PS3.18 §8.7.8.1
    keys = {"single": True, "makes": makes(JPEG)}
    assert choose_instance(("application/dicom", "*/*"), JPEG, **keys).multipart is False
    assert choose_instance(("image/png", "*/*"), JPEG, **keys).multipart is True
    assert choose_instance(("image/png", "image/gif"), JPEG, **keys) is None


@pytest.mark.parametrize(
    "accept", ["application/dicom+json", "image/jpeg", 'multipart/related; type="image/jpeg"']
)
def test_instances_are_nothing_else(accept):
    assert instance(accept, JPEG) is None


@pytest.mark.parametrize(
    "accept, name",
    [
        # RFC 9110 §12.5.1: of the ranges that fit, the most exact one says.
        ("application/dicom+json;q=0, */*", "application/json"),
        ("*/*, application/dicom+json;q=0, application/json;q=0.0", "application/dicom+xml"),
        ("application/*;q=0, */*", "application/dicom+xml"),  # in multipart/related
        ("application/*;q=0, multipart/*;q=0, */*", None),
        ("application/*;q=0, multipart/*;q=0, application/json;q=0.1, */*", "application/json"),
        ("*/*;q=0, application/json", "application/json"),
        ("*/*;q=0", None),
        ('multipart/related; type="application/dicom+xml";q=0, application/dicom+json', DICOM_JSON),
        ('*/*, application/*;q=0, multipart/related; type="application/dicom+xml";q=0', None),
    ],
)
def test_what_a_field_leaves_out_by_name_is_not_let_in_by_a_star(accept, name):
    choice = choose_model((accept,), single=False)
    assert (choice and choice.name) == name


def test_a_star_is_the_way_that_is_left_where_the_other_is_left_out():
    assert instance("multipart/*;q=0, */*", JPEG) == (
        False,
        f"application/dicom; transfer-syntax={JPEG}",
    )
    assert instance("multipart/*;q=0, */*", JPEG, single=False) is None
    assert instance(f"{CLIENT_DEFAULT};q=0, application/dicom;q=0, */*", JPEG) is None
    only_jpeg = f"{CLIENT_DEFAULT}; transfer-syntax={JPEG};q=0, {CLIENT_DEFAULT}"
    assert instance(only_jpeg, JPEG)[1].endswith(f"={EXPLICIT}")
    assert instance(only_jpeg.replace(JPEG, MPEG2), MPEG2) is None
    assert instance(only_jpeg.replace(JPEG, EXPLICIT), JLS)[1].endswith(f"={JLS}")
    assert frames("image/jls;q=0, multipart/*;q=0, */*", JLS)[1].endswith(EXPLICIT)
    assert frames("video/mpeg;q=0, multipart/*;q=0, */*", MPEG2) is None
    assert frames("image/jls;q=0, multipart/*;q=0, */*", JPEG)[0] is False
    assert first_of(("a/b", "c/d"), ("a/b;q=0, */*",)) == "c/d"


def test_the_query_asks_for_what_the_field_leaves_out():
    accepts = ("application/json", "application/json;q=0, */*")
    assert first_of(("application/dicom+json", "application/json"), accepts) == "application/json"


def test_a_field_that_is_none_is_an_error():
    with pytest.raises(MediaTypeError):
        instance("application", JPEG)


# --- frames


@pytest.mark.parametrize("stored", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.1.98"])
@pytest.mark.parametrize(
    "accept",
    [
        CLIENT_OCTETS,
        OHIF_FRAMES,
        CLIENT_ANY,
        "*/*",
        f"{CLIENT_OCTETS}; transfer-syntax=1.2.840.10008.1.2.1",
    ],
)
def test_native_frames_are_octets_in_little_endian(stored, accept):
    expected = (True, f"application/octet-stream; transfer-syntax={EXPLICIT}")
    assert frames(accept, stored) == expected
    assert frames(accept, stored, single=False) == expected


def test_plain_octets_are_pixels_and_never_hide_a_compressed_or_swapped_frame():
    made = f"application/octet-stream; transfer-syntax={EXPLICIT}"
    for stored in (JPEG, JLS, RLE, BIG):
        assert frames(CLIENT_OCTETS, stored) == (True, made)
        assert frames("application/octet-stream", stored) == (False, made)
        assert frames(f"{CLIENT_OCTETS}; transfer-syntax={EXPLICIT}", stored) == (True, made)
    for stored in (MPEG2, "1.2.840.10008.1.2.4.110", "1.2.3.4"):
        assert frames(CLIENT_OCTETS, stored) is None
        assert frames("application/octet-stream", stored) is None
        assert frames(f"{CLIENT_OCTETS}; transfer-syntax={EXPLICIT}", stored) is None


def test_big_endian_is_given_to_who_asks_for_it_only():
    made = (True, f"application/octet-stream; transfer-syntax={EXPLICIT}")
    assert frames("*/*", BIG) == frames(CLIENT_ANY, BIG) == made
    assert frames(f"{CLIENT_OCTETS}; transfer-syntax={BIG}", BIG)[1].endswith(BIG)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("image/jpeg", "1.2.840.10008.1.2.4.70"),
        ("image/dicom-rle", RLE),
        ("image/jls", JLS),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jphc", "1.2.840.10008.1.2.4.201"),
    ],
)
def test_frames_are_made_in_the_default_transfer_syntax_of_a_media_type(name, syntax):
    # PS3.18 Table 8.7.3-5, rows marked D
    made = (True, f"{name}; transfer-syntax={syntax}")
    for stored in (EXPLICIT, IMPLICIT, BIG):
        for parameter in ("", f"; transfer-syntax={syntax}", "; transfer-syntax=*"):
            assert frames(f'multipart/related; type="{name}"{parameter}', stored) == made
        assert frames(name, stored) == (False, made[1])
    assert frames(name, MPEG2) is None
    assert frames(f"{name}; transfer-syntax=1.2.840.10008.1.2.4.91", EXPLICIT) is None


def test_the_stored_form_goes_before_what_can_be_made_and_the_order_before_both():
    assert frames("image/jpeg", JPEG)[1].endswith(JPEG)
    assert frames("image/jls, application/octet-stream", JLS)[1].endswith(JLS)
    assert frames("application/octet-stream, image/jls", JLS)[1].endswith(EXPLICIT)
    assert frames("image/jls;q=0.1, image/jp2", JLS)[1].startswith("image/jp2")
    assert frames("image/*", JLS)[1].endswith(JLS)
    assert frames("image/*", EXPLICIT) is None


@pytest.mark.parametrize("stored", [JPEG, JLS, BIG, MPEG2])
def test_viewers_that_take_any_syntax_get_the_stored_one_named(stored):
    assert frames(OHIF_FRAMES, stored) == (
        True,
        f"application/octet-stream; transfer-syntax={stored}",
    )


@pytest.mark.parametrize("stored, name", sorted(FRAME_MEDIA_TYPE.items()))
def test_compressed_frames_have_the_media_type_of_their_syntax(stored, name):
    expected = (True, f"{name}; transfer-syntax={stored}")
    for accept in (
        f'multipart/related; type="{name}"',
        f'multipart/related; type="{name}"; transfer-syntax={stored}',
        f'multipart/related; type="{name}"; transfer-syntax=*',
        f'multipart/related; type="{name.split("/")[0]}/*"',
        CLIENT_ANY,
        "*/*",
    ):
        assert frames(accept, stored) == expected
    assert frames(name, stored) == (False, expected[1])
    assert frames(name, stored, single=False) is None


def test_media_types_of_the_standard_are_in_the_table():
    # PS3.18 Table 8.7.3-5
    for uid, name in (
        ("1.2.840.10008.1.2.4.70", "image/jpeg"),
        ("1.2.840.10008.1.2.5", "image/dicom-rle"),
        ("1.2.840.10008.1.2.4.81", "image/jls"),
        ("1.2.840.10008.1.2.4.90", "image/jp2"),
        ("1.2.840.10008.1.2.4.93", "image/jpx"),
        ("1.2.840.10008.1.2.4.201", "image/jphc"),
        ("1.2.840.10008.1.2.4.110", "image/jxl"),
        ("1.2.840.10008.1.2.4.101", "video/mpeg"),
        ("1.2.840.10008.1.2.4.102", "video/mp4"),
        ("1.2.840.10008.1.2.4.107", "video/H265"),
    ):
        assert FRAME_MEDIA_TYPE[uid] == name


def test_older_names_of_media_types_are_understood():
    assert frames('multipart/related; type="image/x-jls"', JLS) == (
        True,
        f"image/jls; transfer-syntax={JLS}",
    )
    assert frames("image/x-dicom-rle", "1.2.840.10008.1.2.5") is not None


def test_another_codec_is_not_acceptable():
    assert frames('multipart/related; type="image/jpx"', JLS) is None
    assert frames('multipart/related; type="image/jp2"', MPEG2) is None
    assert frames(f'multipart/related; type="image/jls"; transfer-syntax={JLS}.1', JLS) is None


# --- data sets without bulk data


@pytest.mark.parametrize(
    "accept, name",
    [
        ("application/dicom+json, application/json", "application/dicom+json"),
        ("application/json", "application/json"),
        ("*/*", "application/dicom+json"),
        ("application/*", "application/dicom+json"),
        ("text/html, application/json;q=0.9, */*;q=0.8", "application/json"),
        ('multipart/related; type="application/dicom+xml"', "application/dicom+xml"),
        ('multipart/related; type="application/dicom+xml"; q=0.1, */*', "application/dicom+json"),
        ("application/dicom+xml", None),
        ('multipart/related; type="application/dicom+json"', None),
        ("text/html", None),
    ],
)
def test_metadata_and_matches_come_as_json_or_as_xml_in_parts(accept, name):
    choice = choose_model((accept,), single=False)
    assert (choice and choice.name) == name
    assert choice is None or choice.multipart == (name == "application/dicom+xml")


def test_one_data_set_may_come_as_xml_without_parts():
    assert choose_model(("application/dicom+xml",), single=True)[:3] == (
        False,
        "application/dicom+xml",
        "application/dicom+xml",
    )


def test_the_query_counts_before_the_field():
    accepts = ("application/json", "application/dicom+json")
    assert first_of(("application/dicom+json", "application/json"), accepts) == "application/json"
    assert first_of(("application/xml",), accepts) is None
