"""Respool: the catalog's rows of what lies in the spool, made to agree with the spool."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fileroom.catalog.errors import SegmentInUseError
from fileroom.catalog.lifecycle import CopyState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import NewSpooled, SpoolPlace
from fileroom.dicom.uid import digest
from fileroom.recovery.replay import Told
from fileroom.recovery.report import Report
from fileroom.spool.landing import Spool

SPOOLED_A_BATCH = 256
HELD = (CopyState.REPLICATED, CopyState.VERIFIED, CopyState.SUSPECT)  # something may be there

log = logging.getLogger(__name__)


class Respool:
    """Goes through the spool at a start, before anything lands. Blocks."""

    def __init__(self, *, catalog: Catalog, spool: Spool, node_id: str) -> None:
        self._catalog = catalog
        self._spool = spool
        self._node_id = node_id

    def seal_again(self, lost: Sequence[int], report: Report) -> None:
        """Have `replay` record as not sealed what the spool still has of packs that lie neither
        here nor at a provider. A pack of which it has all is forgotten. Another one stays, lost as
        it is: what only it held is missed, and nobody is told that it is safe."""
        wanted = {
            number: self._catalog.uid_digests(number)
            for number in lost
            if not any(each.state in HELD for each in self._catalog.copies(number))
        }
        if not wanted:
            return
        digests = set().union(*wanted.values())
        records: dict[SpoolPlace, bytes] = {}
        places: dict[bytes, list[SpoolPlace]] = {}
        for each in self._spool.recovered():
            uid_digest = digest(each.description.header.sop_instance_uid)
            if uid_digest in digests:
                place = SpoolPlace(*each.place)
                records[place] = each.sha256
                places.setdefault(uid_digest, []).append(place)
        whole = self._whole(digests, places, self._catalog.settled_among(records))
        for number, held in wanted.items():
            again = [place for each in held for place in places.get(each, ())]
            if held <= whole:
                self._catalog.forget_pack(number, places=again)
                report.resealed += 1
                log.warning("%d instances of pack %d are sealed again", len(held), number)
            else:
                self._catalog.unsettle(again)
                log.critical("of pack %d the spool has %d records", number, len(again))

    def _whole(
        self,
        digests: set[bytes],
        places: Mapping[bytes, Sequence[SpoolPlace]],
        settled: set[SpoolPlace],
    ) -> set[bytes]:
        """The UIDs whose data sets in packs the spool has, for certain: there is one, and a record
        that was sealed, which is that one or was found to be the same. Of several nobody can say
        which of them a record is; and one that was not sealed yet may be another."""
        counts = Counter(self._catalog.existing(digests).keys())
        for uid_digest, found in self._catalog.conflicting(digests).items():
            counts[uid_digest] += len(found)
        return {
            each
            for each, count in counts.items()
            if count == 1 and not settled.isdisjoint(places.get(each, ()))
        }

    def replay(self, told: Told, report: Report) -> None:
        """Record what lies in the spool; what is counted on and not there is set aside."""
        places = self._recorded(report)
        for segment in sorted(self._catalog.segments_in_use()):
            self._account(segment, places.get(segment, set()), report)
        for segment in told.released - {each.number for each in self._spool.segments()}:
            with suppress(SegmentInUseError):  # told just now, instance by instance
                self._catalog.forget_segment(segment)

    def _account(self, segment: int, places: set[int], report: Report) -> None:
        """What the catalog counts on and the spool does not have is set aside, never dropped;
        what was set aside and is there is tried again."""
        held = self._catalog.held(segment)
        lost = [each for each in held if not each.set_aside and each.place.offset not in places]
        found = [each for each in held if each.set_aside and each.place.offset in places]
        for each in lost:
            log.critical("an instance is gone from the spool, place %d:%d", *each.place)
        self._catalog.set_aside([each.id for each in lost])
        self._catalog.take_up([each.id for each in found])
        report.lost += len(lost)
        report.found += len(found)

    def _recorded(self, report: Report) -> dict[int, set[int]]:
        """Give the catalog every spooled instance again; those it has are left.

        Returns:
            The offsets of all of them, by segment.
        """
        batch: list[NewSpooled] = []
        places: dict[int, set[int]] = {}
        for each in self._spool.recovered():
            description = each.description
            places.setdefault(each.place.segment, set()).add(each.place.offset)
            batch.append(
                NewSpooled(
                    segment=each.place.segment,
                    offset=each.place.offset,
                    partition=description.partition,
                    header=description.header,
                    size_bytes=each.size_bytes,
                    sha256=each.sha256,
                    received_at_ns=description.received_at_ns,
                )
            )
            report.spooled += 1
            if len(batch) == SPOOLED_A_BATCH:
                self._catalog.record_spooled(batch, node_id=self._node_id)
                batch.clear()
        self._catalog.record_spooled(batch, node_id=self._node_id)
        return places
