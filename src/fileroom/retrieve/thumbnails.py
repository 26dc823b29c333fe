"""Small pictures of studies, series and instances, kept in memory and never on a disk."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from fileroom.pixels.rendering import RenderingTooLargeError
from fileroom.pixels.view import View
from fileroom.retrieve.opened import NoFramesError
from fileroom.retrieve.render import NotRenderableError, Renderable, Renderer

HELD_BYTES_MAX: Final = 32 << 20
TRIES_MAX: Final = 8  # instances of a study that are looked at until one can be shown

# Images that say little without the ones that they were made of: segmentations, parametric maps,
# doses, presentation states and key objects, and what no eye sees.
_LAST: Final = (
    "1.2.840.10008.5.1.4.1.1.66.",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.481.",
    "1.2.840.10008.5.1.4.1.1.11.",
    "1.2.840.10008.5.1.4.1.1.88.",
    "1.2.840.10008.5.1.4.1.1.104.",
    "1.2.840.10008.5.1.4.1.1.9.",
)


class Pictured(Renderable, Protocol):
    """One instance of the archive."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def series_instance_uid(self) -> str: ...
    @property
    def data_set_sha256(self) -> bytes: ...


class Thumbnails:
    """Makes thumbnails, and keeps those that were asked for last.

    Invariant: they are at most `HELD_BYTES_MAX` together.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._held: OrderedDict[tuple[bytes, int | None, str], bytes] = OrderedDict()
        self._held_bytes = 0

    async def of_frame(self, instance: Pictured, frame: int | None, view: View) -> bytes:
        """A picture of one frame; of the one in the middle where none is named.

        Args:
            frame: counts from 0.

        Raises:
            As `Renderer.render`.
        """
        key = (instance.data_set_sha256, frame, f"{instance.transfer_syntax_uid} {view.key()}")
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        shown = frame
        if shown is None:
            shown = await self._renderer.frame_count(instance) // 2
        made = await self._renderer.render(instance, shown, view)
        self._keep(key, made)
        return made

    async def of(self, instances: Sequence[Pictured], view: View) -> bytes:
        """A picture of the first of them that can stand for all and can be shown.

        Raises:
            NotRenderableError: none can, as far as was looked.
            UnavailableError, IntegrityError: as reading does.
        """
        for tried, instance in enumerate(_representatives(instances)):
            if tried == TRIES_MAX:
                break
            try:
                return await self.of_frame(instance, None, view)
            except (NotRenderableError, NoFramesError, RenderingTooLargeError):
                continue
        raise NotRenderableError("none of the instances can be shown as a picture")

    def _keep(self, key: tuple[bytes, int | None, str], made: bytes) -> None:
        # Another may have made the same one meanwhile.
        self._held_bytes += len(made) - len(self._held.pop(key, b""))
        self._held[key] = made
        while self._held_bytes > HELD_BYTES_MAX:
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= len(dropped)


def _representatives(instances: Sequence[Pictured]) -> Iterator[Pictured]:
    """Instances that can stand for all of them, the best first: of each series the one in the
    middle, of the largest series first; then the first ones; what is no image of a patient last."""
    series: dict[str, list[Pictured]] = {}
    for each in instances:
        series.setdefault(each.series_instance_uid, []).append(each)
    largest_first = sorted(series.values(), key=len, reverse=True)
    middles = [members[len(members) // 2] for members in largest_first]
    middles.sort(key=lambda each: each.sop_class_uid.startswith(_LAST))
    yield from middles
    yield from (members[0] for members in largest_first if len(members) > 1)
