"""The rejections of the dictionary catalog."""

from fileroom.catalog.rejections import RejectionTotals, Scope, WaitingNote
from fileroom.catalog.rows import InstancePlace, SpoolPlace
from fileroom.dicom.uid import digest

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


class DictRejections:
    """`CatalogRejections` over the dictionaries of a `DictCatalog`."""

    def __init__(self) -> None:
        super().__init__()
        self.rejected = {}  # by ledger index
        self.notes = {}  # spool place to the digest of the note's UID
        self.followed = set()

    def record_rejected(self, rejection):
        scope = rejection.scope
        self._undo(scope)
        uids = tuple(sorted(set(scope.sop_instance_uids)))
        kept = {name: getattr(rejection, name) for name in rejection.__struct_fields__}
        changed = {"scope": scope._replace(sop_instance_uids=uids), "ends_note": False}
        self.rejected[rejection.ledger_index] = type(rejection)(**kept | changed)
        if rejection.ends_note:
            self.followed.add(digest(rejection.note_uid))

    def record_restored(self, scope, *, everything):
        if everything and not scope.sop_instance_uids:
            study, series, _ = scope
            self.rejected = {
                n: row
                for n, row in self.rejected.items()
                if row.scope[0] != study or series not in ("", row.scope[1])
            }
        else:
            self._undo(scope)

    def _undo(self, scope):
        left = {}
        for n, row in self.rejected.items():
            of_it = row.scope[:2] == scope[:2] and bool(row.scope[2]) == bool(scope[2])
            uids = tuple(each for each in row.scope[2] if each not in scope[2])
            if not of_it:
                left[n] = row
            elif uids:
                kept = {name: getattr(row, name) for name in row.__struct_fields__}
                left[n] = type(row)(**kept | {"scope": row.scope._replace(sop_instance_uids=uids)})
        self.rejected = left

    def rejections(self, *, study_instance_uid=None, before=None, limit):
        rows = [
            self._told(row)
            for n, row in sorted(self.rejected.items(), reverse=True)
            if study_instance_uid in (None, row.scope[0]) and (before is None or n < before)
        ]
        return rows[:limit]

    def _told(self, row):
        kept = {name: getattr(row, name) for name in row.__struct_fields__}
        return type(row)(**kept | {"outgrown": self._is_outgrown(row)})

    def _is_outgrown(self, row):
        study, series, uids = row.scope
        of_it = {
            n
            for n, each in enumerate(self.all_series, 1)
            if self.studies[each.study - 1].uid == study and series in ("", each.uid)
        }
        times = [
            each.received_oldest_ns for each in self.pack_rows.values() if each.series in of_it
        ]
        times += [each.received_at_ns for each in self.queue.values() if each.series in of_it]
        return not uids and any(at_ns > row.decided_at_ns for at_ns in times)

    def rejection_totals(self):
        scopes = [row.scope for row in self.rejected.values()]
        return RejectionTotals(
            studies=sum(not uids and not series for _, series, uids in scopes),
            series=sum(not uids and bool(series) for _, series, uids in scopes),
            instances=sum(len(uids) for _, _, uids in scopes),
            outgrown=sum(map(self._is_outgrown, self.rejected.values())),
        )

    def kept(self, study_instance_uid, uid_digests):
        found = {}
        for n, series in enumerate(self.all_series, 1):
            if self.studies[series.study - 1].uid != study_instance_uid:
                continue
            packs = {number for number, row in self.pack_rows.items() if row.series == n}
            held = {each for each, at in self.instances.items() if at.pack in packs}
            held |= {each for at, each in self.further.items() if at.pack in packs}
            rows = (*self.queue.values(), *self.aside.values())
            held |= {row.uid_digest for row in rows if row.series == n}
            found.setdefault(series.uid, set()).update(held & set(uid_digests))
        return found

    def waiting_notes(self, *, limit):
        return [
            WaitingNote(place.segment << 40 | place.offset, place, of in self.followed)
            for place, of in sorted(self.notes.items())
        ][:limit]

    def forget_note(self, id):
        self.notes.pop(SpoolPlace(id >> 40, id & (1 << 40) - 1), None)

    def queue_notes(self, rows):
        """Key Object Selections of a batch that wait in the spool."""
        for row in rows:
            place = SpoolPlace(row.segment, row.offset)
            if row.header.sop_class_uid == KEY_OBJECT_SELECTION and place in self.queue:
                self.notes.setdefault(place, self.queue[place].uid_digest)

    def is_hidden(self, series, uid_digest=None):
        """Whether a series, or an instance of it, is rejected."""
        row = self.all_series[series - 1]
        study = self.studies[row.study - 1].uid
        for scope in (each.scope for each in self.rejected.values()):
            if scope == Scope(study) or scope == Scope(study, row.uid):
                return True
            if scope[:2] == (study, row.uid) and uid_digest in map(digest, scope[2]):
                return True
        return False

    def hidden_places(self, pack):
        """Members of a pack that are served, but for a rejection."""
        series = self.pack_rows[pack].series
        return {
            at
            for each, at in self.instances.items()
            if at.pack == pack and self.is_hidden(series, each)
        }

    def served_count(self, row):
        hidden = len(self.hidden_places(row.number))
        return row.instance_count - row.conflict_count - hidden

    def is_shown(self, series):
        """Whether a series has anything to show, or nothing of it is rejected."""
        row = self.all_series[series - 1]
        study = self.studies[row.study - 1].uid
        decided = [
            each
            for each in self.rejected.values()
            if each.scope[0] == study and each.scope[1] in ("", row.uid)
        ]
        return not decided or bool(int(self._count([series])))

    def is_shown_study(self, study):
        named = [each for each in self.rejected.values() if each.scope[0] == self._uid(study)]
        return not named or any(self.is_shown(n) for n in self._series_of([study]))

    def is_shown_patient(self, patient):
        studies = [n for n, study in enumerate(self.studies, 1) if study.patient == patient]
        return not studies or any(map(self.is_shown_study, studies))

    def _uid(self, study):
        return self.studies[study - 1].uid

    def without_hidden(self, rows, packs, conflicts, spooled):
        """What holdings hold, less what is rejected."""
        rows = [row for row in rows if self.is_shown(row.series)]
        shown, studies = {row.series for row in rows}, {row.study for row in rows}
        conflicts = {at for at in conflicts if self.pack_rows[at.pack].study in studies}
        found = []
        for pack in packs:
            if pack.series in shown:
                hidden = self.hidden_places(pack.number)
                conflicts = conflicts | {InstancePlace(*place) for place in hidden}
                values = {name: getattr(pack, name) for name in pack.__struct_fields__}
                values["conflict_count"] += len(hidden)
                found.append(type(pack)(**values))
        return rows, found, conflicts, spooled
