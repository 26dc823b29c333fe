"""The storage commitments of the dictionary catalog."""

from fileroom.catalog.commitments import CommitmentRow, CommitmentTotals, Whereabouts
from fileroom.catalog.errors import NotInCatalogError, StateMovedError
from fileroom.catalog.lifecycle import CommitmentState

WEEK_NS = 7 * 86_400 * 1_000_000_000
OPEN = (CommitmentState.WAITING, CommitmentState.JUDGED)


class DictCommitments:
    """`CatalogCommitments` over the dictionaries of a `DictCatalog`."""

    def __init__(self) -> None:
        self.commitment_rows = {}  # by number
        self.referenced = {}
        self.commitments_made = 0

    def _by_transaction(self, ae_title, transaction_uid):
        for row in self.commitment_rows.values():
            if (row.ae_title, row.transaction_uid) == (ae_title, transaction_uid):
                return row
        return None

    def _put_commitment(self, told, state, since_ns):
        known = self._by_transaction(told.ae_title, told.transaction_uid)
        if known is None:
            self.commitments_made += 1
        number = self.commitments_made if known is None else known.number
        self.commitment_rows[number] = CommitmentRow(
            number,
            told.ae_title,
            told.transaction_uid,
            told.referenced_sha256,
            told.requested_at_ns,
            state,
            0,
            b"",
            0,
            since_ns,
        )
        return number

    def record_commitment(self, asked):
        known = self._by_transaction(asked.ae_title, asked.transaction_uid)
        if known is not None:
            same = known.state in OPEN and known.referenced_sha256 == asked.referenced_sha256
            if same or known.requested_at_ns >= asked.requested_at_ns:
                return
        number = self._put_commitment(asked, CommitmentState.WAITING, asked.requested_at_ns)
        self.referenced[number] = asked.references

    def record_reported(self, reported):
        number = self._put_commitment(reported, CommitmentState.REPORTED, reported.reported_at_ns)
        self.referenced.pop(number, None)
        kept_from_ns = self.clock.wall_ns() - WEEK_NS
        self.commitment_rows = {
            n: row
            for n, row in self.commitment_rows.items()
            if row.state in OPEN or row.since_ns >= kept_from_ns
        }

    def commitment(self, ae_title, transaction_uid):
        return self._by_transaction(ae_title, transaction_uid)

    def commitments_waiting(self, *, after=0, limit):
        rows = [row for n, row in sorted(self.commitment_rows.items()) if n > after]
        return [row for row in rows if row.state is CommitmentState.WAITING][:limit]

    def commitment_to_report(self, ae_title):
        rows = [
            row
            for row in self.commitment_rows.values()
            if (row.ae_title, row.state) == (ae_title, CommitmentState.JUDGED)
        ]
        return min(rows, key=lambda row: (row.tries, row.number), default=None)

    def references(self, commitment):
        if commitment not in self.referenced:
            raise NotInCatalogError("no references")
        return self.referenced[commitment]

    def move_commitment(self, commitment, from_, to, *, cursor=0, awaits=b""):
        row = self.commitment_rows.get(commitment)
        if row is None or row.state is not from_:
            raise StateMovedError("moved")
        since_ns = row.since_ns if from_ is to else self.clock.wall_ns()
        changed = {"state": to, "cursor": cursor, "awaits": awaits, "since_ns": since_ns}
        self.commitment_rows[commitment] = _replaced(row, **changed)

    def put_off_commitment(self, commitment):
        row = self.commitment_rows[commitment]
        self.commitment_rows[commitment] = _replaced(row, tries=row.tries + 1)

    def commitment_totals(self):
        rows = [row for row in self.commitment_rows.values() if row.state in OPEN]
        judged = [row.ae_title for row in rows if row.state is CommitmentState.JUDGED]
        return CommitmentTotals(
            waiting=len(rows) - len(judged),
            judged={each: judged.count(each) for each in judged},
            oldest_ns=min((row.requested_at_ns for row in rows), default=None),
        )

    def whereabouts(self, uid_digests):
        found = {}
        for each in uid_digests:
            held = Whereabouts()
            places = [self.instances[each]] if each in self.instances else []
            places += [
                at for at, other in self.further.items() if other == each and at not in self.same
            ]
            held.packed = {place: self.pack_rows[place.pack].state for place in places}
            held.spooled = [at for at, row in self.queue.items() if row.uid_digest == each]
            held.set_aside = [row.sha256 for row in self.aside.values() if row.uid_digest == each]
            if held != Whereabouts():
                found[each] = held
        return found


def _replaced(row, **changes):
    values = {name: getattr(row, name) for name in CommitmentRow.__struct_fields__}
    return CommitmentRow(**values | changes)
