"""What is forwarded, in the dictionary catalog."""

from dataclasses import dataclass

from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.forwards import (
    DestinationTotals,
    ForwardCounts,
    ForwardRow,
    PackToRoute,
    RefusedForward,
    StudyForward,
)
from fileroom.catalog.lifecycle import PackState

KEPT_NS = 90 * 86_400 * 1_000_000_000


@dataclass
class Waiting:
    study: str
    left: set
    since_ns: int
    stored: int = 0
    warned: int = 0
    withdrawn: int = 0
    tries: int = 0
    turn: int = 0
    error: str = ""


class DictForwards:
    """`CatalogForwards` over the dictionaries of a `DictCatalog`.

    Rows are kept by (destination, rule, pack); refused ordinals by that, each with its reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forwards_rules = {}
        self.forwards_paused = set()
        self.forwards_unrouted = {}  # pack to the rules, "" for all
        self.forwards_waiting = {}
        self.forwards_refused = {}
        self.forwards_decided = {}  # (destination, study) to (stored, warned, withdrawn, at)

    def forward_sealed(self, number, state):
        """A pack was recorded."""
        if state is PackState.SEALED and self.forwards_rules:
            self.forwards_unrouted.setdefault(number, set()).add("")

    def forward_forgotten(self, number):
        """A pack is gone."""
        self.forwards_unrouted.pop(number, None)
        for rows in (self.forwards_waiting, self.forwards_refused):
            for key in [key for key in rows if key[2] == number]:
                del rows[key]

    def packs_to_route(self, *, after=0, limit):
        found = []
        for number in [each for each in sorted(self.forwards_unrouted) if each > after][:limit]:
            pack, asked = self.pack_rows[number], self.forwards_unrouted[number]
            further = {at.ordinal for at in self.further if at.pack == number}
            series, study = self.all_series[pack.series - 1], self.studies[pack.study - 1]
            found.append(
                PackToRoute(
                    pack=number,
                    rules=None if "" in asked else frozenset(asked),
                    ordinals=tuple(n for n in range(pack.instance_count) if n not in further),
                    modality=series.attributes.get("Modality", ""),
                    description=series.attributes.get("SeriesDescription", ""),
                    study_description=study.attributes.get("StudyDescription", ""),
                )
            )
        return found

    def route(self, pack, forwards):
        self.forwards_unrouted.pop(pack, None)
        if pack not in self.pack_rows:
            return
        study = self.studies[self.pack_rows[pack].study - 1].uid
        for each in forwards:
            row = Waiting(study, set(each.ordinals), self.clock.wall_ns())
            self.forwards_waiting.setdefault((each.destination, each.rule, pack), row)

    def owe_route(self, owed):
        for rule, packs in owed.items():
            for number, row in self.pack_rows.items():
                if row.sha256 in packs:
                    self.forwards_unrouted.setdefault(number, set()).add(rule)

    def forward_next(self, destination, rules):
        keys = [key for key in self.forwards_waiting if key[0] == destination and key[1] in rules]
        if not keys:
            return None
        key = min(keys, key=lambda each: (self.forwards_waiting[each].turn, each[2], each[1]))
        row, pack = self.forwards_waiting[key], self.pack_rows[key[2]]
        return ForwardRow(
            destination=key[0],
            rule=key[1],
            pack=key[2],
            pack_sha256=pack.sha256,
            study_key_id=pack.study_key_id,
            study_instance_uid=row.study,
            left=tuple(sorted(row.left)),
            stored=row.stored,
            warned=row.warned,
            withdrawn=row.withdrawn,
            tries=row.tries,
            turn=row.turn,
            last_error=row.error,
            since_ns=row.since_ns,
        )

    def _forward_stands(self, row):
        waiting = self.forwards_waiting.get((row.destination, row.rule, row.pack))
        if waiting is None or waiting.left != set(row.left):
            raise StateMovedError("moved")
        return waiting

    def put_off_forward(self, row, progress, *, error):
        waiting = self._forward_stands(row)
        turns = [
            each.turn for key, each in self.forwards_waiting.items() if key[0] == row.destination
        ]
        waiting.left = set(progress.left)
        waiting.stored += progress.stored
        waiting.warned += progress.warned
        waiting.withdrawn += progress.withdrawn
        waiting.tries += 1
        waiting.turn = max(turns) + 1
        waiting.error = error
        key = (row.destination, row.rule, row.pack)
        _, known = self.forwards_refused.setdefault(key, (row.study_instance_uid, {}))
        known.update(progress.refused)
        if not known:
            del self.forwards_refused[key]

    def forward_counts(self, destination, study_instance_uid):
        of = (destination, study_instance_uid)
        stored, warned, withdrawn, _ = self.forwards_decided.get(of, (0, 0, 0, 0))
        rows = [r for key, r in self.forwards_waiting.items() if (key[0], r.study) == of]
        return ForwardCounts(
            stored=stored,
            warned=warned,
            withdrawn=withdrawn,
            refused=sum(
                len(known) for key, (study, known) in self.forwards_refused.items()
                if (key[0], study) == of
            ),
            waiting=sum(len(each.left) + each.stored + each.withdrawn for each in rows),
        )  # fmt: skip

    def forward_refused(self, row):
        self._forward_stands(row)
        _, known = self.forwards_refused.get((row.destination, row.rule, row.pack), ("", {}))
        return _by_reason(known)

    def record_forwarded(self, forwarded):
        told = forwarded
        numbers = [n for n, row in self.pack_rows.items() if row.sha256 == told.pack_sha256]
        for number in numbers:
            key = (told.destination, told.rule, number)
            self.forwards_waiting.pop(key, None)
            self.forwards_refused.pop(key, None)
            known = {n: reason for reason, each in told.refused.items() for n in each}
            if known:
                self.forwards_refused[key] = (told.study_instance_uid, known)
        self.forwards_decided[told.destination, told.study_instance_uid] = (
            told.study.stored,
            told.study.warned,
            told.study.withdrawn,
            told.forwarded_at_ns,
        )
        kept_from_ns = self.clock.wall_ns() - KEPT_NS
        self.forwards_decided = {
            key: row for key, row in self.forwards_decided.items() if row[3] >= kept_from_ns
        }

    def retry_refused(self, destination, study_instance_uid=""):
        count = 0
        for key, (study, known) in list(self.forwards_refused.items()):
            if key[0] != destination or study_instance_uid not in ("", study):
                continue
            count += len(known)
            row = self.forwards_waiting.setdefault(key, Waiting(study, set(), self.clock.wall_ns()))
            row.left |= known.keys()
            del self.forwards_refused[key]
        return count

    def forward_totals(self):
        names = {key[0] for key in (*self.forwards_waiting, *self.forwards_refused)}
        return {name: self._forward_total(name) for name in sorted(names)}

    def _forward_total(self, name):
        rows = {key: row for key, row in self.forwards_waiting.items() if key[0] == name}
        by_rule = {}
        for key, row in rows.items():
            by_rule[key[1]] = by_rule.get(key[1], 0) + len(row.left)
        tried = [row for row in rows.values() if row.turn]
        return DestinationTotals(
            waiting=by_rule,
            oldest_ns=min((row.since_ns for row in rows.values()), default=None),
            refused=sum(
                len(known) for key, (_, known) in self.forwards_refused.items() if key[0] == name
            ),
            last_error=max(tried, key=lambda row: row.turn).error if tried else "",
        )

    def study_forwards(self, destination="", study_instance_uid="", *, limit):
        pairs = {(key[0], row.study) for key, row in self.forwards_waiting.items()}
        pairs |= {(key[0], study) for key, (study, _) in self.forwards_refused.items()}
        if study_instance_uid:
            pairs |= self.forwards_decided.keys()
        found = [
            self._forward_study(*pair)
            for pair in pairs
            if destination in ("", pair[0]) and study_instance_uid in ("", pair[1])
        ]
        never = 1 << 63
        found.sort(key=lambda s: (s.since_ns or never, s.destination, s.study_instance_uid))
        return found[:limit]

    def _forward_study(self, destination, study):
        rows = [
            row
            for key, row in self.forwards_waiting.items()
            if (key[0], row.study) == (destination, study)
        ]
        reasons = {}
        for key, (of, known) in self.forwards_refused.items():
            if (key[0], of) == (destination, study):
                for reason in known.values():
                    reasons[reason] = reasons.get(reason, 0) + 1
        tried = [row for row in rows if row.turn]
        return StudyForward(
            destination=destination,
            study_instance_uid=study,
            counts=self.forward_counts(destination, study),
            since_ns=min((row.since_ns for row in rows), default=0),
            reasons=reasons,
            last_error=max(tried, key=lambda row: row.turn).error if tried else "",
            changed_at_ns=self.forwards_decided.get((destination, study), (0, 0, 0, 0))[3],
        )

    def refused_forwards(self, study_instance_uid, *, limit):
        found = [
            RefusedForward(
                destination=key[0], rule=key[1], pack=key[2], reason=reason, ordinals=ordinals
            )
            for key, (study, known) in self.forwards_refused.items()
            if study == study_instance_uid
            for reason, ordinals in _by_reason(known).items()
        ]
        found.sort(key=lambda each: (each.destination, each.rule, each.pack, each.reason))
        return found[:limit]

    def forward_rules(self):
        return dict(self.forwards_rules)

    def set_forward_rules(self, rules):
        self.forwards_rules = dict(rules)

    def paused_destinations(self):
        return set(self.forwards_paused)

    def set_destination_paused(self, destination, paused):
        (self.forwards_paused.add if paused else self.forwards_paused.discard)(destination)


def _by_reason(known):
    found = {}
    for ordinal, reason in sorted(known.items()):
        found[reason] = (*found.get(reason, ()), ordinal)
    return found
