"""What comes of which study just now, in memory: noted as instances land, taken up by a stage."""

from collections.abc import Iterable

from fileroom.catalog.arrivals import Hints, NewArrival
from fileroom.dicom.header import Header
from fileroom.spool.record import Origin

IMAGES_MAX = 1_000_000  # a number in a data set that is larger says nothing


class Arrivals:
    """Instances that have landed, by study, since they were taken up last.

    Belongs to one event loop, waits for nothing, and never fails: nothing rests on it. Lost with
    the process; what has landed is in the spool.
    """

    def __init__(self) -> None:
        self._new: dict[str, NewArrival] = {}
        self._at: dict[str, str] = {}  # open conversation to the study of its last instance

    def came(self, header: Header, origin: Origin, received_at_ns: int) -> None:
        """Note an instance."""
        uid = header.study_instance_uid
        self._at[origin.conversation] = uid
        told = NewArrival(
            study_instance_uid=uid,
            ae_title=origin.calling_ae_title,
            first_at_ns=received_at_ns,
            last_at_ns=received_at_ns,
            hints=hints_of(header),
        )
        self._add(told)

    def ended(self, conversation: str) -> None:
        """A conversation is over."""
        self._at.pop(conversation, None)

    def is_open(self, study_instance_uid: str) -> bool:
        """Whether a conversation is open whose last instance was of this study; on any thread."""
        return study_instance_uid in tuple(self._at.values())

    def taken(self) -> list[NewArrival]:
        """All that was noted since the last call."""
        found, self._new = list(self._new.values()), {}
        return found

    def put_back(self, arrivals: Iterable[NewArrival]) -> None:
        """What was taken could not be kept."""
        for each in arrivals:
            self._add(each)

    def _add(self, more: NewArrival) -> None:
        known = self._new.get(more.study_instance_uid)
        if known is None:
            self._new[more.study_instance_uid] = more
            return
        later = more if more.last_at_ns >= known.last_at_ns else known
        for series, images in more.hints.items():
            for acquisition, count in images.items():
                of_series = known.hints.setdefault(series, {})
                of_series[acquisition] = max(count, of_series.get(acquisition, 0))
        self._new[more.study_instance_uid] = NewArrival(
            study_instance_uid=more.study_instance_uid,
            ae_title=later.ae_title,
            first_at_ns=min(known.first_at_ns, more.first_at_ns),
            last_at_ns=later.last_at_ns,
            hints=known.hints,
        )


def hints_of(header: Header) -> Hints:
    """How many images an original image says that its acquisition has; of any other nothing.

    Images in Acquisition is copied into derived series, of which it says nothing (PS3.3 §C.7.6.1).
    """
    said = header.attributes
    images = said.get("ImagesInAcquisition", "")
    is_original = said.get("ImageType", "").partition("\\")[0] == "ORIGINAL"
    if not (is_original and images.isascii() and images.isdigit() and len(images) < 8):
        return {}
    count = int(images)
    if not 0 < count <= IMAGES_MAX:
        return {}
    return {header.series_instance_uid: {said.get("AcquisitionNumber", "")[:16]: count}}
