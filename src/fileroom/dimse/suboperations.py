"""How many C-STORE sub-operations there are, how they ended, and the answers that tell it. Pure.

PS3.4 §C.4.2.1 and §C.4.3.1, Tables C.4-2 and C.4-3; PS3.7 §9.1.3, §9.1.4.
"""

from fileroom.dicom import identifier
from fileroom.dicom.identifier import Key
from fileroom.dimse.operation import Answer
from fileroom.wire.message import Value
from fileroom.wire.status import Outcome, Status, outcome

FAILED_SOP_INSTANCE_UID_LIST = 0x00080058
COUNT_MAX = 0xFFFF  # VR US
# The value of an element with a 16-bit length (PS3.5 §7.1.2): of a thousand UIDs about.
LIST_LENGTH_MAX = 0xFFFE


class Suboperations:
    """Those of one retrieve.

    Attributes:
        total: how many there are to be, as far as that is known; it is corrected on the way.
        first_failure: what the first one failed by.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.completed = self.warning = self.failed = 0
        self.first_failure = ""
        self._failed_uids: list[str] = []
        self._list_length = 0

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self.completed + self.warning + self.failed

    def answered(self, sop_instance_uid: str, status: int) -> None:
        """Count one by what the peer answered."""
        match outcome(status):
            case Outcome.SUCCESS:
                self.completed += 1
            case Outcome.WARNING:
                self.warning += 1
            case _:
                self.fail(sop_instance_uid, f"the peer answered {status:04X}H")

    def fail(self, sop_instance_uid: str, why: str) -> None:
        """Count one that failed. Of very many the UIDs at the end are not listed."""
        self.failed += 1
        self.first_failure = self.first_failure or why
        if self._list_length + len(sop_instance_uid) + 1 <= LIST_LENGTH_MAX:
            self._list_length += len(sop_instance_uid) + 1
            self._failed_uids.append(sop_instance_uid)

    def miss(self, count: int, why: str) -> None:
        """Count instances that nobody can name now as failed."""
        if count > 0:
            self.failed += count
            self.first_failure = self.first_failure or why

    def pending(self) -> Answer:
        """How far it is."""
        return Answer(Status.PENDING, elements=self._counts(remaining=True))

    def last(self, transfer_syntax_uid: str, *, cancelled: bool = False) -> Answer:
        """The last answer.

        Args:
            transfer_syntax_uid: of the identifier with the list of failed instances.
        """
        if cancelled:
            status = Status.CANCEL
        elif self.failed and not self.completed and not self.warning:
            status = Status.UNABLE_TO_PERFORM_SUBOPERATIONS
        elif self.failed or self.warning:
            status = Status.SUBOPERATIONS_WITH_FAILURES
        else:
            status = Status.SUCCESS
        data_set = None
        if self._failed_uids:
            listed = {FAILED_SOP_INSTANCE_UID_LIST: Key("UI", "\\".join(self._failed_uids))}
            data_set = identifier.encode(listed, transfer_syntax_uid)
        counts = self._counts(remaining=cancelled)
        return Answer(status, self.first_failure, counts, data_set)

    def _counts(self, *, remaining: bool) -> dict[str, Value | None]:
        counts: dict[str, Value | None] = {
            "NumberOfCompletedSuboperations": min(self.completed, COUNT_MAX),
            "NumberOfFailedSuboperations": min(self.failed, COUNT_MAX),
            "NumberOfWarningSuboperations": min(self.warning, COUNT_MAX),
        }
        if remaining:
            left = max(self.total - self.ended, 0)
            counts["NumberOfRemainingSuboperations"] = min(left, COUNT_MAX)
        return counts
