"""Pictures of stored instances: read no more than they need, bounded in memory, off the loop."""

import asyncio
import threading
from io import BytesIO
from types import SimpleNamespace

import numpy
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from corpus import ct_small
from dicomweb_fakes import MemoryInstance, world
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.errors import TransientError
from fileroom.pixels.rendering import RenderingTooLargeError
from fileroom.pixels.view import PNG, Region, View, ViewError
from fileroom.retrieve import render as rendering
from fileroom.retrieve import thumbnails
from fileroom.retrieve.opened import NoFramesError
from fileroom.retrieve.render import NotRenderableError, Renderer
from fileroom.retrieve.thumbnails import Thumbnails
from picture_parts import decoded, file_of, image

VIEW = View(media_type=PNG)


def held(part10: bytes) -> MemoryInstance:
    here = world()
    instance = here.archive.add(part10)
    here.coverage.asked.append(("", instance.study_instance_uid, "", ""))
    return instance


def file(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not ship {name}")
    with open(path, "rb") as opened:
        return opened.read()


def ramp(count: int = 1, **attributes) -> bytes:
    frames = numpy.arange(count * 6, dtype="u1").reshape(count, 2, 3)
    pixels = frames[0] if count == 1 else frames
    more = {} if count == 1 else {"NumberOfFrames": count}
    return file_of(image(pixels, **more, **attributes))


async def test_a_frame_is_rendered_by_its_number_from_0():
    instance, renderer = held(ramp(3)), Renderer()
    assert await renderer.frame_count(instance) == 3
    for frame in range(3):
        made = decoded(await renderer.render(instance, frame, VIEW), PNG)
        assert made.ravel().tolist() == list(range(6 * frame, 6 * frame + 6))
    with pytest.raises(NoFramesError, match="3 frames"):
        await renderer.render(instance, 3, VIEW)


async def test_compressed_and_deflated_instances_are_rendered():
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"):
        instance = held(file(name))
        made = decoded(await Renderer().render(instance, 0, VIEW), PNG)
        told = dcmread(BytesIO(instance.part10), stop_before_pixels=True)
        assert made.shape[:2] == (told.Rows, told.Columns)
    deflated = held(file("image_dfl.dcm"))
    deflated.frames = deflated.data_set().frames  # as of any deflated instance
    made = decoded(await Renderer().render(deflated, 0, VIEW), PNG)
    assert made.shape == (512, 512)
    assert len(numpy.unique(made)) > 10


async def test_only_the_header_and_the_frame_are_read():
    frames = numpy.zeros((40, 256, 256), "u1")
    instance = held(file_of(image(frames, NumberOfFrames=40)))
    read = []
    stored = instance.read

    async def counted(start: int, end: int) -> bytes:
        read.append(end - start)
        return await stored(start, end)

    instance.read = counted
    table = await instance.frames()
    table.read = counted
    instance.frames = lambda: _ready(table)
    await Renderer().render(instance, 39, VIEW)
    assert sum(read) <= 256 * 1024 + 65536 + 1024  # what is read ahead of the header; the frame


async def _ready(thing):
    return thing


@pytest.mark.parametrize("name", ["reportsi.dcm", "rtplan.dcm", "test-SR.dcm"])
async def test_what_has_no_pixels_cannot_be_rendered(name):
    instance = held(file(name))
    with pytest.raises(NotRenderableError):
        await Renderer().frame_count(instance)
    with pytest.raises(NotRenderableError):
        await Renderer().render(instance, 0, VIEW)


async def test_what_is_not_decoded_cannot_be_rendered_and_is_not_read():
    video = SimpleNamespace(transfer_syntax_uid="1.2.840.10008.1.2.4.102")
    with pytest.raises(NotRenderableError, match=r"4\.102"):
        await Renderer().render(video, 0, VIEW)


async def test_what_would_have_to_be_inflated_too_far_cannot_be_rendered():
    async def frames():
        raise InflatedTooLargeError("beyond all bounds")

    bomb = SimpleNamespace(transfer_syntax_uid="1.2.840.10008.1.2.1.99", frames=frames)
    with pytest.raises(NotRenderableError, match="beyond all bounds"):
        await Renderer().frame_count(bomb)


async def test_damaged_pixels_cannot_be_rendered():
    instance = held(file("MR_small_RLE.dcm"))
    data = bytearray(instance.part10)
    data[-2000:-1000] = bytes(1000)
    instance.part10 = bytes(data)
    with pytest.raises(NotRenderableError, match="cannot be shown"):
        await Renderer().render(instance, 0, VIEW)


async def test_what_is_asked_of_an_image_that_it_cannot_give_is_refused_before_its_frame_is_read():
    instance = held(ramp())
    with pytest.raises(ViewError):
        await Renderer().render(instance, 0, View(region=Region(3, 0)))
    with pytest.raises(RenderingTooLargeError):
        await Renderer().render(instance, 0, View(columns_max=65_000, rows_max=65_000))
    with pytest.raises(RenderingTooLargeError, match="memory"):
        await Renderer(memory_bytes_max=1 << 20).render(instance, 0, VIEW)


async def test_a_read_that_fails_gives_its_memory_back():
    instance = held(ramp())
    renderer = Renderer(memory_bytes_max=80 << 20)  # room for one
    table = await instance.frames()

    async def away(start: int, end: int) -> bytes:
        raise TransientError("the provider is away")

    working, table.read = table.read, away
    instance.frames = lambda: _ready(table)
    for _ in range(3):
        with pytest.raises(TransientError):
            await renderer.render(instance, 0, VIEW)
    table.read = working
    assert await renderer.render(instance, 0, VIEW)


async def test_no_more_are_made_at_a_time_than_fit_into_memory(monkeypatch):
    instance = held(ramp())
    renderer = Renderer(memory_bytes_max=200 << 20)  # 64 MiB each and a little: three
    renderer._turns = asyncio.Semaphore(8)
    at_work, most, gate = 0, 0, threading.Event()

    def slow(*_: object) -> bytes:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        gate.wait(10)
        at_work -= 1
        return b"picture"

    monkeypatch.setattr(rendering, "render", slow)
    asked = [asyncio.create_task(renderer.render(instance, 0, VIEW)) for _ in range(7)]
    while at_work < 3:
        await asyncio.sleep(0)  # the loop goes on meanwhile
    given_up = asked.pop()
    given_up.cancel()
    gate.set()
    assert set(await asyncio.gather(*asked)) == {b"picture"}
    assert most == 3
    assert renderer._memory._free_bytes == 200 << 20


async def test_whoever_goes_away_gives_back_its_turn_when_the_thread_has_ended(monkeypatch):
    instance, renderer = held(ramp()), Renderer()
    renderer._turns = asyncio.Semaphore(1)
    begun, gate = threading.Event(), threading.Event()

    def slow(*_: object) -> bytes:
        begun.set()
        gate.wait(10)
        return b"picture"

    monkeypatch.setattr(rendering, "render", slow)
    asked = asyncio.create_task(renderer.render(instance, 0, VIEW))
    while not begun.is_set():
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert renderer._turns.locked()
    gate.set()
    assert await renderer.render(instance, 0, VIEW) == b"picture"
    while renderer._turns.locked():
        await asyncio.sleep(0)


# --- thumbnails ---------------------------------------------------------------------------


class CountingRenderer(Renderer):
    """A renderer that knows what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, int]] = []

    async def render(self, instance, frame, view):
        self.made.append((instance.sop_instance_uid, frame))
        return await super().render(instance, frame, view)


def study(*series: tuple[int, str]) -> list[MemoryInstance]:
    """Series of so many instances of a class each."""
    found = []
    for number, (count, sop_class_uid) in enumerate(series, 1):
        for instance in range(1, count + 1):
            data_set = image(numpy.zeros((4, 4), "u1"), SOPClassUID=sop_class_uid)
            data_set.SeriesInstanceUID = f"1.2.3.{number}"
            data_set.SOPInstanceUID = f"1.2.3.{number}.{instance}"
            data_set.PixelData = bytes([number, instance] * 8)
            found.append(held(file_of(data_set)))
    return found


CT = "1.2.840.10008.5.1.4.1.1.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


async def test_the_middle_of_the_largest_series_of_images_stands_for_a_study():
    renderer = CountingRenderer()
    await Thumbnails(renderer).of(study((1, CT), (3, CT), (9, SEGMENTATION)), VIEW)
    assert renderer.made == [("1.2.3.2.2", 0)]
    await Thumbnails(renderer).of(study((2, SEGMENTATION)), VIEW)
    assert renderer.made[1:] == [("1.2.3.1.2", 0)]


async def test_where_one_cannot_be_shown_another_stands_for_a_study():
    renderer = CountingRenderer()
    found = study((3, CT), (2, CT))
    found[1].part10 = found[1].part10[:-10]
    await Thumbnails(renderer).of(found, VIEW)
    assert renderer.made == [("1.2.3.1.2", 0), ("1.2.3.2.2", 0)]


async def test_a_study_without_images_has_no_thumbnail():
    with pytest.raises(NotRenderableError):
        await Thumbnails(Renderer()).of([held(file("test-SR.dcm"))] * 20, VIEW)


async def test_the_frame_in_the_middle_stands_for_an_instance():
    renderer = CountingRenderer()
    instance = held(ramp(5))
    kept = Thumbnails(renderer)
    await kept.of_frame(instance, None, VIEW)
    await kept.of_frame(instance, 1, VIEW)
    assert [frame for _, frame in renderer.made] == [2, 1]


async def test_a_thumbnail_is_made_once_and_each_view_of_it_is_another(monkeypatch):
    renderer = CountingRenderer()
    instance, kept = held(ct_small().read_bytes()), Thumbnails(renderer)
    small = View(columns_max=32, rows_max=32)
    made = await kept.of_frame(instance, None, small)
    assert await kept.of_frame(instance, None, small) == made
    assert len(renderer.made) == 1
    await kept.of_frame(instance, None, View(columns_max=33, rows_max=32))
    await kept.of_frame(instance, 0, small)
    assert len(renderer.made) == 3
    monkeypatch.setattr(thumbnails, "HELD_BYTES_MAX", len(made) + 10)
    await kept.of_frame(instance, 0, View(columns_max=16, rows_max=16))
    assert kept._held_bytes <= len(made) + 10
    assert kept._held_bytes == sum(map(len, kept._held.values()))
