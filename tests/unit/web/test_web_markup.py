"""Markup is escaped by construction; values are shown as a person reads them, whatever they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.web import shown
from fileroom.web.markup import Markup, element, joined


def test_text_is_escaped_and_markup_is_not():
    assert element("p", "a<b>&\"'", element("b", "c")) == (
        "<p>a&lt;b&gt;&amp;&quot;&#x27;<b>c</b></p>"
    )


def test_an_attribute_cannot_be_left():
    assert element("a", "x", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;">x</a>'


def test_names_of_attributes_are_those_of_html():
    assert element("label", "x", for_="a", class_="b", aria_label="c", hidden=True, id=None) == (
        '<label for="a" class="b" aria-label="c" hidden>x</label>'
    )


def test_an_element_without_content_has_no_end_tag():
    assert element("br") == "<br>"


def test_nothing_is_nothing_and_what_is_iterable_is_its_items():
    assert joined([None, "a", ("b", Markup("<i>"), [1])]) == "ab<i>1"


def test_what_turns_a_line_around_is_left_out():
    assert element("p", "a\x00\x1b[31m\u202ebc\u2066\ud800d") == "<p>a[31mbcd</p>"


@given(st.text())
def test_no_text_becomes_markup(text):
    told = element("p", text, title=text)
    assert told.count("<") == 2
    assert told.count(">") == 2
    assert told.count('"') == 2
    told.encode("utf-8")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", ""),
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^Mary^Dr^PhD", "Doe, Dr Jane Mary, PhD"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎, やまだ, たろう)"),
        ("=山田^太郎", "山田, 太郎"),
        ("^Jane", "Jane"),
        ("^^^^", ""),
        ("Doe^Jane^^^a^x", "Doe, Jane, a^x"),
        ("no components", "no components"),
        ("A^B\\C^D", "A, B"),
    ],
)
def test_a_name_is_told_family_first(value, told):
    assert shown.name(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [("20261124", "2026-11-24"), ("2026.11.24", "2026-11-24"), ("", ""), ("soon", "soon")],
)
def test_a_date_is_told_with_hyphens(value, told):
    assert shown.date(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [("093015.25", "09:30"), ("09:30:15", "09:30"), ("9", "9"), ("", "")]
)
def test_a_time_is_told_to_the_minute(value, told):
    assert shown.time(value) == told


@given(st.text())
def test_every_value_can_be_shown(value):
    for show in (shown.name, shown.date, shown.time, shown.sex, shown.listed, shown.availability):
        assert isinstance(show(value), str)
