"""Instances in the transfer syntax that they are asked for in, where that is not the stored one
(PS3.18 §8.7.3.4)."""

from collections.abc import AsyncIterator, Sequence

from fileroom.dicom.instance_error import InstanceError
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.negotiate import Choice
from fileroom.dicomweb.ranges import read_ranges
from fileroom.http.ports import Buffer, StoredInstance
from fileroom.http.refusals import NotAcceptableError
from fileroom.http.request import Service
from fileroom.pixels.transcoding import can_transcode
from fileroom.retrieve.transcode import codecs

ATTACHED = (b"content-disposition", b'attachment; filename="instance.dcm"')


def makes(stored_uid: str) -> frozenset[str]:
    """Transfer syntaxes in which an instance is given besides the stored one. Implicit VR and big
    endian are none of the web services' (PS3.18 §8.7.3)."""
    if can_transcode(stored_uid, negotiate.EXPLICIT_LITTLE_ENDIAN):
        return frozenset({negotiate.EXPLICIT_LITTLE_ENDIAN}) - {stored_uid}
    return frozenset()


def choose(accepts: tuple[str, ...], instance: StoredInstance, *, single: bool) -> Choice | None:
    """How to send an instance; None: not acceptable."""
    stored_uid = instance.transfer_syntax_uid
    return negotiate.choose_instance(accepts, stored_uid, single=single, makes=makes(stored_uid))


def is_made(instance: StoredInstance, choice: Choice) -> bool:
    """Whether it is not sent as it is stored."""
    return choice.transfer_syntax_uid != instance.transfer_syntax_uid


def form_of(found: Sequence[StoredInstance], chosen: Sequence[Choice]) -> list[str]:
    """What tells these representations from others of the same instances, for their tag."""
    form = [each.content_type for each in chosen]
    if any(map(is_made, found, chosen)):
        form.append(codecs())
    return form


async def file_of(
    service: Service, accepts: tuple[str, ...], instance: StoredInstance, choice: Choice
) -> tuple[str, AsyncIterator[Buffer]]:
    """Content-Type and pieces of an instance's Part 10 file: as `choice` has it; as it is stored
    where it cannot be made so and the caller named no transfer syntax.

    Raises:
        NotAcceptableError: the caller named one, and it cannot be made so.
        UnavailableError, IntegrityError: as reading does.
    """
    whole = [(0, instance.size_bytes)]
    if not is_made(instance, choice):
        return choice.content_type, read_ranges(instance, whole)
    try:
        made = await service.transcoder.file(instance, choice.transfer_syntax_uid)
    except InstanceError as error:
        stored = negotiate.choose_instance(
            accepts, instance.transfer_syntax_uid, single=True, makes=frozenset()
        )
        if stored is None:
            raise NotAcceptableError(f"it cannot be made so: {error}") from error
        return stored.content_type, read_ranges(instance, whole)
    return choice.content_type, made
