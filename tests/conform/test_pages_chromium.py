"""The pages in headless Chromium: somebody finds a study and sees its pictures; nothing fails, and
nothing leaves this machine."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pydicom.data
import pytest
from pydicom.data import get_testdata_file

from chromium import Browser, Page, chromium, quiet_page
from fileroom.cli.client import NodeClient, Part
from nodes import Reached, running

MEDIUM = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
NAMES = ("CT_small.dcm", "examples_ybr_color.dcm", "examples_palette.dcm", "test-SR.dcm")
ROWS = "[...document.querySelectorAll('tbody tr')].map(each => each.innerText).join('|')"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """A node with a few studies that pydicom ships."""
    with running(tmp_path_factory.mktemp("node") / "data", in_process=True) as reached:
        single = [Path(str(get_testdata_file(each, download=False))) for each in NAMES]
        series = sorted(each for each in (MEDIUM / "98892001").rglob("*") if each.is_file())
        files = [*single, *series]
        with closing(NodeClient(*reached.http)) as client:
            stored = client.store([part_of(each) for each in files])
        assert len(stored.accepted) == len(files)
        yield reached


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with quiet_page(browser) as opened:
        yield opened


def part_of(path: Path) -> Part:
    return Part(lambda: path.open("rb"), path.stat().st_size)


def root_of(node: Reached) -> str:
    return node.web.removesuffix("/dicomweb") + "/"


def all_pictures(page: Page) -> list[tuple[int, int]]:
    """Bring every picture into view and return their sizes once they are there."""
    page.evaluate("document.querySelectorAll('img').forEach(each => each.loading = 'eager')")
    page.until("[...document.images].every(each => each.complete)")
    sizes = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
    return [(wide, high) for wide, high in sizes]


def test_somebody_finds_a_study_by_part_of_a_name_and_sees_its_pictures(node, page):
    page.open(root_of(node))
    assert page.evaluate("document.querySelector('h1').innerText") == "Studies"
    assert page.evaluate("document.querySelectorAll('tbody tr').length") == 5
    page.evaluate("document.forms[0].elements.name.value = 'comp'")
    page.evaluate("document.forms[0].requestSubmit()")
    page.until("location.search.startsWith('?search=')")
    page.until("document.readyState === 'complete'")
    assert "CompressedSamples" in page.evaluate(ROWS)
    assert page.evaluate("document.querySelectorAll('tbody tr').length") == 1
    assert not [each for each in page.requests if "comp" in each.lower()]
    page.click("tbody a")
    page.until("location.pathname.startsWith('/studies/')")
    page.until("document.readyState === 'complete'")
    assert all(wide > 100 or high > 100 for wide, high in all_pictures(page))
    page.evaluate("history.back()")
    page.until("location.search.startsWith('?search=')")
    page.until("document.readyState === 'complete'")
    assert page.evaluate("document.forms[0].elements.name.value") == "comp"


def test_every_study_has_a_page_whose_pictures_are_all_there(node, page):
    page.open(root_of(node))
    links = page.evaluate("[...document.querySelectorAll('tbody a')].map(each => each.href)")
    assert len(links) == 5
    for each in links:
        page.open(each)
        assert page.evaluate("document.querySelector('h1').innerText.length") > 0
        assert all(min(size) > 0 for size in all_pictures(page)), each


def test_whoever_has_a_keyboard_only_reaches_the_content_first(node, page):
    page.open(root_of(node))
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.className") == "skip"
    page.press("Enter", 13)
    page.until("location.hash === '#content'")
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.id") == "name"


@pytest.mark.parametrize("width", [320, 768, 1600])
def test_no_page_is_wider_than_its_window(node, browser, width):
    with quiet_page(browser, width=width) as page:
        page.open(root_of(node))
        for target in [root_of(node), page.evaluate("document.querySelector('tbody a').href")]:
            page.open(target)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, target


def test_markup_in_a_search_stays_text(node, page):
    page.open(root_of(node))
    told = json.dumps("<img src=x onerror=document.title='run'>")
    page.evaluate(f"document.forms[0].elements.name.value = {told}")
    page.evaluate("document.forms[0].requestSubmit()")
    page.until("location.search.startsWith('?search=')")
    page.until("document.readyState === 'complete'")
    assert page.evaluate("document.title") == "Studies – Fileroom"
    assert page.evaluate("document.images.length") == 0
