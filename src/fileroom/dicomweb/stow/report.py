"""The answer to a STOW-RS request: its status, and the response of PS3.18 Annex I. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fileroom.dicom import uid
from fileroom.dicom.instance_error import IdentityError, InstanceError, TransferSyntaxError
from fileroom.dicom.json_reading import JsonError
from fileroom.dicom.xml_reading import XmlError
from fileroom.dicomweb.stow.bulk_parts import PixelMediaTypeError
from fileroom.errors import FileroomError, PeerError, RefusedError, TransientError, UncertainError
from fileroom.http.ports import Received
from fileroom.http.refusals import TooLargeError, UnsupportedMediaTypeError, without_frames
from fileroom.ingest.receive import MismatchError, SopClassError, reason_of
from fileroom.pixels.encapsulating import ImagePixelError, UnknownSyntaxError
from fileroom.spool.failure import InstanceTooLargeError, SpaceError


class OtherStudyError(RefusedError):
    """The instance is of another study than the path names."""


class MissingPartError(RefusedError):
    """Metadata refers to a part that has not come."""


class UnreferencedPartError(RefusedError):
    """No metadata refers to the part."""


# Failure Reason (0008,1197) by error, PS3.18 Table I.2-2; the first row that fits counts. The four
# UIDs are of Type 1 in every storage SOP Class (PS3.3 §C.7.2.1, §C.7.3.1, §C.12.1), so that an
# instance without one does not conform to its class; nothing in it need be hard to understand.
FAILURE_REASON: tuple[tuple[type[FileroomError], int], ...] = (
    (SpaceError, 0xA700),
    (InstanceTooLargeError, 0xA700),
    (TooLargeError, 0xA700),
    (TransientError, 0xA700),
    (UncertainError, 0xA700),
    (OtherStudyError, 0xA901),
    (MismatchError, 0xA900),
    (IdentityError, 0xA900),
    (ImagePixelError, 0xA900),
    (SopClassError, 0x0122),
    (TransferSyntaxError, 0xC122),
    (UnknownSyntaxError, 0xC122),
    (PixelMediaTypeError, 0xC122),
    (MissingPartError, 0xC010),
    (UnreferencedPartError, 0xC011),
    (InstanceError, 0xC000),
    (PeerError, 0xC000),
    (UnsupportedMediaTypeError, 0xC000),
)
PROCESSING_FAILURE = 0x0110

UNTAKEN = "the body is of a media type or coding that is not taken"
TOO_LARGE = "the request is larger than one may be"
BROKEN = "the body is not what the request says"

# Warning Reason (0008,1196), PS3.18 Table I.2-1. B000 is never given: nothing is coerced.
DISCARDED = 0xB006  # elements that no data set has
EXCESS = 0xB007  # more pixel data than the Image Pixel attributes describe

# What is no DICOM JSON or XML at all: bad syntax, where nothing else was sent.
BAD_SYNTAX = (PeerError, JsonError, XmlError)

REFERENCED_SOP_CLASS_UID = "00081150"
REFERENCED_SOP_INSTANCE_UID = "00081155"
RETRIEVE_URL = "00081190"
WARNING_REASON = "00081196"
FAILURE_REASON_TAG = "00081197"
FAILED_SOP_SEQUENCE = "00081198"
REFERENCED_SOP_SEQUENCE = "00081199"
OTHER_FAILURES_SEQUENCE = "0008119A"


# Their texts are few.
OWN_ERRORS = (
    OtherStudyError,
    UnsupportedMediaTypeError,
    TooLargeError,
    PixelMediaTypeError,
    MissingPartError,
    UnreferencedPartError,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part. One of `received` and `error` is there.

    Attributes:
        sop_class_uid, sop_instance_uid: as the part's file meta information or metadata claims.
        warning: Warning Reason of one that was received.
    """

    sop_class_uid: str | None
    sop_instance_uid: str | None
    received: Received | None = None
    error: FileroomError | None = None
    warning: int | None = None

    def __post_init__(self) -> None:
        if self.error is not None:
            without_frames(self.error)  # until the answer there may be ten thousand of them


def recorded_reason(error: FileroomError) -> str:
    """Why this door did not take an instance, as the ledger has it."""
    if isinstance(error, OWN_ERRORS):
        return str(error)
    return reason_of(error)


def request_reason(error: FileroomError) -> str:
    """Why a request was refused as a whole, as the ledger has it: one of few sentences."""
    if isinstance(error, UnsupportedMediaTypeError):
        return UNTAKEN
    return TOO_LARGE if isinstance(error, TooLargeError) else BROKEN


def failure_reason(error: FileroomError) -> int:
    """The Failure Reason that says why an instance was not stored."""
    return next(
        (reason for kind, reason in FAILURE_REASON if isinstance(error, kind)), PROCESSING_FAILURE
    )


def status(outcomes: Sequence[Outcome]) -> int:
    """The HTTP status of a request whose body was read to its end (PS3.18 Table 10.5.3-1)."""
    errors = [each.error for each in outcomes if each.error is not None]
    if not errors:
        return 200 if all(each.warning is None for each in outcomes) else 202
    if len(errors) < len(outcomes):
        return 202
    if all(isinstance(error, SpaceError) for error in errors):
        return 507
    if all(isinstance(error, TransientError) for error in errors):
        return 503
    if all(isinstance(error, UnsupportedMediaTypeError) for error in errors):
        return 415
    if all(isinstance(error, BAD_SYNTAX) for error in errors):
        return 400
    return 409


def data_set(
    outcomes: Sequence[Outcome], base_url: str, study_instance_uid: str | None, *, broken: bool
) -> dict[str, Any]:
    """The Store Instances Response Module in the DICOM JSON Model (PS3.18 Table I.1-1).

    Args:
        study_instance_uid: the study of the path, if it names one.
        broken: whether the body broke off, so that what followed is unknown.
    """
    studies = {each.received.study_instance_uid for each in outcomes if each.received is not None}
    study = study_instance_uid or (studies.pop() if len(studies) == 1 else None)
    found: dict[str, Any] = {
        RETRIEVE_URL: _element("UR", *([f"{base_url}/studies/{study}"] if study else []))
    }
    failed: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    stored: list[dict[str, Any]] = []
    for each in outcomes:
        if each.received is not None:
            stored.append(_stored(each.received, base_url, each.warning))
        elif each.error is not None:
            item = _claimed(each)
            item[FAILURE_REASON_TAG] = _element("US", failure_reason(each.error))
            (failed if len(item) == 3 else others).append(item)
    if broken:
        others.append({FAILURE_REASON_TAG: _element("US", PROCESSING_FAILURE)})
    for tag, items in (
        (FAILED_SOP_SEQUENCE, failed),
        (REFERENCED_SOP_SEQUENCE, stored),
        (OTHER_FAILURES_SEQUENCE, others),
    ):
        if items:
            found[tag] = _element("SQ", *items)
    return found


def _element(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _stored(received: Received, base_url: str, warning: int | None) -> dict[str, Any]:
    url = (
        f"{base_url}/studies/{received.study_instance_uid}/series/{received.series_instance_uid}"
        f"/instances/{received.sop_instance_uid}"
    )
    return {
        REFERENCED_SOP_CLASS_UID: _element("UI", received.sop_class_uid),
        REFERENCED_SOP_INSTANCE_UID: _element("UI", received.sop_instance_uid),
        RETRIEVE_URL: _element("UR", url),
        **({} if warning is None else {WARNING_REASON: _element("US", warning)}),
    }


def _claimed(outcome: Outcome) -> dict[str, Any]:
    """The instance a failed part says it is; nothing where that is not an instance's name."""
    claims = (outcome.sop_class_uid, outcome.sop_instance_uid)
    if not all(claim is not None and uid.is_safe(claim) for claim in claims):
        return {}
    return {
        REFERENCED_SOP_CLASS_UID: _element("UI", claims[0]),
        REFERENCED_SOP_INSTANCE_UID: _element("UI", claims[1]),
    }
