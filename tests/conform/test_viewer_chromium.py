"""OHIF from its npm package in headless Chromium, served by a node: the study list shows, a CT
scrolls, a multi-frame plays, compressed images are decoded; no request fails, none leaves this
machine. The package is not ours to keep: `scripts/peers` fetches it, and without it these are
skipped. How it is taken in and served is tested with a made one elsewhere."""

import os
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from chromium import Browser, Page, chromium, quiet_page
from fileroom.cli import viewer
from fileroom.cli.client import NodeClient, Part
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from nodes import Reached, running

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fileroom"
PACKAGE = CACHE / f"ohif-app-{viewer.VERSION}.tgz"
MEDIUM = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
CT_STUDY = "1.2.826.0.1.3680043.10.999.2"
PLAYED_STUDY = "1.2.826.0.1.3680043.10.999.3"
FRAMES = 12
PREFIX = "/images"
COMPRESSED = ("JPEG-lossy.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_rle_2frame.dcm")
# What the largest canvas shows, as a number; empty where there is no image on it yet.
SHOWN = """(() => {
  const drawn = [...document.querySelectorAll('canvas')].filter(each => each.width > 100)[0];
  if (!drawn) return '';
  const pixels = drawn.getContext('2d').getImageData(0, 0, drawn.width, drawn.height).data;
  let sum = 0, bright = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    sum = (sum * 31 + pixels[at]) % 4294967291;
    if (pixels[at] > 20) bright++;
  }
  return bright > 200 ? String(sum) : '';
})()"""


@pytest.fixture(scope="module")
def package() -> Path:
    if not PACKAGE.is_file():
        pytest.skip(f"peer missing: {PACKAGE} (npm pack {viewer.PACKAGE}@{viewer.VERSION})")
    return PACKAGE


@pytest.fixture(
    scope="module",
    params=["", pytest.param(PREFIX, marks=pytest.mark.slow)],
    ids=["root", "prefix"],
)
def node(
    request: pytest.FixtureRequest, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reached]:
    """A node with OHIF, a CT of ten slices, a multi-frame, and images in compressed syntaxes."""
    data = tmp_path_factory.mktemp("node") / "data"
    with running(data, in_process=True, http__prefix=request.param) as reached:
        words = ["viewer", "install", str(package), "--data", str(data)]
        assert main(words) == ExitCode.OK
        files = [*ct(), played(), *compressed()]
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


def shipped(name: str) -> Dataset:
    return dcmread(str(get_testdata_file(name, download=False)))


def encoded(data_set: Dataset) -> bytes:
    out = BytesIO()
    dcmwrite(out, data_set)
    return out.getvalue()


def ct() -> Iterator[bytes]:
    """Ten slices, each brighter than the one before in one place."""
    for number in range(10):
        slice_ = shipped("CT_small.dcm")
        slice_.PatientName = "Scrolled^Ct"
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = CT_STUDY, f"{CT_STUDY}.1"
        slice_.SOPInstanceUID, slice_.InstanceNumber = f"{CT_STUDY}.1.{number + 1}", number + 1
        slice_.ImagePositionPatient = [0, 0, number * 5]
        pixels = slice_.pixel_array.copy()
        pixels[20:60, 20:60] = 200 * number
        slice_.PixelData = pixels.tobytes()
        yield encoded(slice_)


def played() -> bytes:
    """An ultrasound of a few frames in which a square moves."""
    moving = shipped("CT_small.dcm")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope"):
        delattr(moving, keyword)
    moving.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    moving.PatientName, moving.Modality = "Played^Us", "US"
    moving.StudyInstanceUID, moving.SeriesInstanceUID = PLAYED_STUDY, f"{PLAYED_STUDY}.1"
    moving.SOPInstanceUID = f"{PLAYED_STUDY}.1.1"
    moving.NumberOfFrames, moving.FrameTime, moving.CineRate = FRAMES, "100", "10"
    frames = np.zeros((FRAMES, 128, 128), "u1")
    for number in range(FRAMES):
        frames[number, 40:80, 5 * number : 5 * number + 50] = 220
    moving.BitsAllocated, moving.BitsStored, moving.HighBit = 8, 8, 7
    moving.PixelRepresentation, moving.WindowCenter, moving.WindowWidth = 0, 128, 256
    moving.PixelData = frames.tobytes()
    moving["PixelData"].VR = "OB"
    moving.file_meta.MediaStorageSOPClassUID = moving.SOPClassUID
    moving.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return encoded(moving)


def compressed() -> Iterator[bytes]:
    for number, name in enumerate(COMPRESSED):
        data_set = shipped(name)
        data_set.PatientName = f"Compressed^{number}"
        data_set.StudyInstanceUID = compressed_study(number)
        yield encoded(data_set)


def compressed_study(number: int) -> str:
    return f"1.2.826.0.1.3680043.10.999.4.{number}"


def part_of(data: bytes) -> Part:
    return Part(lambda: BytesIO(data), len(data))


def viewer_of(node: Reached) -> str:
    return f"{node.web.removesuffix('/dicomweb')}{node.settings.http.prefix}/viewer/"


def opened(node: Reached, page: Page, study: str) -> str:
    """Open a study in the viewer; what its first image is."""
    page.open(f"{viewer_of(node)}viewer?StudyInstanceUIDs={study}")
    return str(page.until(SHOWN))


def test_the_study_list_of_ohif_shows_the_studies_of_the_node(node, page):
    page.open(viewer_of(node))
    page.until("document.body.innerText.includes('Scrolled, Ct')")
    assert "Played, Us" in page.evaluate("document.body.innerText")


def test_a_ct_scrolls_in_ohif(node, page):
    before = opened(node, page, CT_STUDY)
    for _ in range(3):
        page.wheel(700, 400, 100)
        before = page.until(f"[{SHOWN}].find(now => now && now !== {before!r})")


def test_a_multi_frame_plays_in_ohif(node, page):
    opened(node, page, PLAYED_STUDY)
    play = "[data-cy=cine-player-play-pause]"
    page.until(f"document.querySelector('{play}') !== null")
    page.evaluate("window.seen = new Set()")
    page.evaluate(f"setInterval(() => {{ const now = {SHOWN}; now && window.seen.add(now) }}, 30)")
    page.click(play)
    page.until("window.seen.size >= 5")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMPRESSED)), ids=COMPRESSED)
def test_a_compressed_image_is_decoded_in_ohif(node, page, number):
    assert opened(node, page, compressed_study(number))


@pytest.mark.slow
def test_a_study_leads_from_its_page_into_ohif(node, page):
    page.open(f"{viewer_of(node).removesuffix('viewer/')}studies/{CT_STUDY}")
    page.click("a[href*='/viewer/viewer?']")
    page.until("location.pathname.endsWith('/viewer/viewer')")
    page.until(SHOWN)
