"""Rejections as bodies of the ledger: what is not shown any more, and what is again. Pure."""

from fileroom.audit.decided import Decided

INSTANCES_REJECTED = "instances.rejected"
INSTANCES_RESTORED = "instances.restored"


class InstancesRejected(Decided, frozen=True, kw_only=True):
    """Something is hidden from everybody who searches and reads.

    Attributes:
        series_instance_uid: empty: the whole study.
        sop_instance_uids: some of a series; none: all there is, and whatever comes.
        code: why, as a code value of the DCM scheme (PS3.16 CID 7010).
        note_sop_instance_uid: the rejection note that is followed; empty: there is none.
        part, parts: a note may take several decisions, in this order from 0; with the last one
            it is followed.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    code: str
    note_sop_instance_uid: str = ""
    part: int = 0
    parts: int = 1


class InstancesRestored(Decided, frozen=True, kw_only=True):
    """What was decided about exactly that is undone.

    Attributes:
        everything: also what was decided about series and instances in it.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    everything: bool = False
