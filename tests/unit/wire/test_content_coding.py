"""Accept-Encoding; the first rows are the examples of RFC 9110 §12.5.3."""

import pytest

from fileroom.wire.content_coding import choose


@pytest.mark.parametrize(
    "field, coding",
    [
        ("compress, gzip", "gzip"),
        ("", "identity"),
        ("*", "gzip"),
        ("compress;q=0.5, gzip;q=1.0", "gzip"),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip"),
        (None, "identity"),
        ("gzip, deflate, br, zstd", "gzip"),  # a browser
        ("x-gzip", "gzip"),
        ("GZIP;Q=0.5", "gzip"),
        ("identity;q=1, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("gzip;q=0", "identity"),
        ("*;q=0", "identity"),
        ("identity;q=0", "identity"),
        ("gzip;q=2", "identity"),
        ("gzip;q=x", "identity"),
        ("gzip;level=9", "identity"),
        ("br", "identity"),
        ("gzip, gzip;q=0", "gzip"),
        ("gzip," * 400, "identity"),
    ],
)
def test_what_is_asked_for_is_chosen(field, coding):
    assert choose(field) == coding
