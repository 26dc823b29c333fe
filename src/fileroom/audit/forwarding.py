"""What is forwarded to other archives, as bodies of the ledger: docs/format/ledger.md §8. Pure."""

from fileroom.audit.body import Event
from fileroom.catalog.forwards import ForwardCounts, ForwardedPack, numbers
from fileroom.errors import IntegrityError
from fileroom.pack.format import parse_object_name

FORWARD_RULES = "forward.rules"
FORWARD_PAUSED = "forward.paused"
FORWARD_RETRIED = "forward.retried"
FORWARDED = "forwarded"


class ForwardRules(Event, frozen=True, kw_only=True):
    """Other rules are in force than those that were told of last: rules, and their destinations.
    A new one takes what is sealed from here on."""

    rules: dict[str, str]


class ForwardPaused(Event, frozen=True, kw_only=True):
    """Somebody lets a destination get nothing, or go on."""

    destination: str
    paused: bool
    principal: str
    address: str


class ForwardRetried(Event, frozen=True, kw_only=True):
    """Somebody lets what a destination refused be sent once more: `instances` of one study, or of
    all where none is named; or rules be asked again about `everything` of the one study."""

    destination: str
    study_instance_uid: str
    instances: int
    everything: bool
    principal: str
    address: str


class Forwarded(Event, frozen=True, kw_only=True):
    """All that a rule sends of a pack to a destination is decided by the destination's answers.

    Attributes:
        pack: its object name.
        stored, warned, withdrawn: instances of the pack, since it was told of last: stored there,
            of these with a warning; and not sent, as they are served no more.
        refused: those of the pack that the destination refuses for good: runs of ordinals ("0-2
            5") by the reason.
        study_stored, study_warned, study_withdrawn, study_refused, study_waiting: the same of the
            whole study there, as it stands now. It is forwarded in full where none is refused and
            none waits.
    """

    destination: str
    rule: str
    pack: str
    study_instance_uid: str
    stored: int
    warned: int
    withdrawn: int
    refused: dict[str, str]
    study_stored: int
    study_warned: int
    study_withdrawn: int
    study_refused: int
    study_waiting: int
    forwarded_at_ns: int


def forwarded_pack(told: Forwarded) -> ForwardedPack:
    """The same for the catalog. Raises IntegrityError where it names no pack."""
    parsed = parse_object_name(told.pack)
    if parsed is None:
        raise IntegrityError(
            f"an entry of the ledger names a pack with {len(told.pack)} characters"
        )
    return ForwardedPack(
        destination=told.destination,
        rule=told.rule,
        pack_sha256=parsed[1],
        study_instance_uid=told.study_instance_uid,
        refused={reason: numbers(each) for reason, each in told.refused.items()},
        study=ForwardCounts(
            stored=told.study_stored,
            warned=told.study_warned,
            withdrawn=told.study_withdrawn,
            refused=told.study_refused,
            waiting=told.study_waiting,
        ),
        forwarded_at_ns=told.forwarded_at_ns,
    )
