"""How studies came, in the dictionary catalog."""

import msgspec

from fileroom.catalog.arrivals import ArrivalRow, ArrivalState, ArrivalTotals

HINTS_MAX = 1000


class DictArrivals:
    """`CatalogArrivals` over the dictionaries of a `DictCatalog`."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival_rows = {}  # by Study Instance UID
        self.ask_at = {}  # times in it only where there is one

    def record_arrivals(self, arrivals):
        for new in arrivals:
            uid = new.study_instance_uid
            known = self.arrival_rows.get(uid)
            first_at_ns, last_at_ns = new.first_at_ns, new.last_at_ns
            if known is not None:
                last_at_ns = max(last_at_ns, known.last_at_ns)
                if known.state is ArrivalState.ARRIVING:
                    first_at_ns = min(first_at_ns, known.first_at_ns)
            self.arrival_rows[uid] = ArrivalRow(
                study_instance_uid=uid,
                state=ArrivalState.ARRIVING,
                ae_title=new.ae_title,
                first_at_ns=first_at_ns,
                last_at_ns=last_at_ns,
                hints=_both(known.hints if known else {}, new.hints),
                told=known.told if known else None,
                asked_at_ns=known.asked_at_ns if known else 0,
                asks=known.asks if known else 0,
            )
            self.ask_at.setdefault(uid, new.first_at_ns if known is None else new.last_at_ns)

    def find_arrivals(self):
        waiting = {}
        for row in self.queue.values():
            uid = self.studies[self.all_series[row.series - 1].study - 1].uid
            waiting.setdefault(uid, []).append(row.received_at_ns)
        for uid, times in waiting.items():
            if uid not in self.arrival_rows:
                self.arrival_rows[uid] = ArrivalRow(
                    study_instance_uid=uid,
                    state=ArrivalState.ARRIVING,
                    ae_title="",
                    first_at_ns=min(times),
                    last_at_ns=max(times),
                    hints={},
                    told=None,
                    asked_at_ns=0,
                    asks=0,
                )

    def arrival(self, study_instance_uid):
        return self.arrival_rows.get(study_instance_uid)

    def arrivals(self, state, *, limit):
        rows = [each for each in self.arrival_rows.values() if each.state is state]
        return sorted(rows, key=lambda each: each.last_at_ns)[:limit]

    def arrivals_to_ask(self, *, now_ns, limit):
        due = sorted((at_ns, uid) for uid, at_ns in self.ask_at.items() if at_ns <= now_ns)
        return [self.arrival_rows[uid] for _, uid in due[:limit]]

    def judge_arrival(self, study_instance_uid, state, *, last_at_ns, ask_at_ns):
        row = self.arrival_rows.get(study_instance_uid)
        if row is None or row.last_at_ns != last_at_ns:
            return
        self.arrival_rows[study_instance_uid] = msgspec.structs.replace(row, state=state)
        self.ask_at.pop(study_instance_uid, None)
        if ask_at_ns is not None:
            self.ask_at[study_instance_uid] = ask_at_ns

    def reconsider_asking(self):
        for uid, row in self.arrival_rows.items():
            if row.state is not ArrivalState.COMPLETE:
                self.ask_at.setdefault(uid, row.last_at_ns)

    def note_asked(self, study_instance_uid, told, *, asked_at_ns, asks):
        row = self.arrival_rows.get(study_instance_uid)
        if row is not None:
            self.arrival_rows[study_instance_uid] = msgspec.structs.replace(
                row, told=told or row.told, asked_at_ns=asked_at_ns, asks=asks
            )

    def forget_arrivals(self, *, before_ns, incomplete_before_ns):
        limits = {
            ArrivalState.ARRIVING: 0,
            ArrivalState.COMPLETE: before_ns,
            ArrivalState.QUIET: before_ns,
            ArrivalState.INCOMPLETE: incomplete_before_ns,
        }
        for uid, row in list(self.arrival_rows.items()):
            if row.last_at_ns < limits[row.state]:
                del self.arrival_rows[uid]
                self.ask_at.pop(uid, None)

    def held_of_study(self, study_instance_uid):
        numbers = [n for n, each in enumerate(self.studies, 1) if each.uid == study_instance_uid]
        return {self.all_series[n - 1].uid: int(self._count([n])) for n in self._series_of(numbers)}

    def arrival_totals(self):
        states = [each.state for each in self.arrival_rows.values()]
        arriving = [
            each.first_at_ns
            for each in self.arrival_rows.values()
            if each.state is ArrivalState.ARRIVING
        ]
        return ArrivalTotals(
            states={each: states.count(each) for each in states},
            oldest_arriving_ns=min(arriving, default=None),
        )


def _both(known, more):
    """The hints of both; of one acquisition the larger number, of too many the first."""
    flat = {(s, a): count for s, images in known.items() for a, count in images.items()}
    for series, images in more.items():
        for acquisition, count in images.items():
            key = (series, acquisition)
            if key in flat or len(flat) < HINTS_MAX:
                flat[key] = max(count, flat.get(key, 0))
    found = {}
    for (series, acquisition), count in flat.items():
        found.setdefault(series, {})[acquisition] = count
    return found
