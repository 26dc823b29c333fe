"""STOW-RS: instances come in, part by part, as the body arrives (PS3.18 §10.5).

Memory per request: one buffer of the server, what the spool has not written of the instance that
arrives (2 MiB), and `finishing_bytes_max` for those before it. Parts that are complete wait for
the disk while the next one arrives, so that one sync serves several; the answer waits for all.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fileroom.dicom.header import HeaderScanner
from fileroom.dicom.part10 import Part10Splitter, Part10Start
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.stow import answer as stow_answer
from fileroom.dicomweb.stow import report as stow_report
from fileroom.dicomweb.stow.finishing import Finishing
from fileroom.dicomweb.stow.metadata import MetadataStoring
from fileroom.dicomweb.stow.report import OtherStudyError, Outcome
from fileroom.errors import FileroomError
from fileroom.http.ports import Conversation, Reception
from fileroom.http.refusals import (
    BadRequestError,
    DisconnectedError,
    NotAcceptableError,
    SilentPeerError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from fileroom.http.request import Request, Service
from fileroom.spool.record import Origin
from fileroom.wire import media_type
from fileroom.wire.media_type import MediaType, MediaTypeError
from fileroom.wire.multipart import MultipartParser, PartData, PartEnded, PartStarted

CHANNEL = "stow"
KINDS = (negotiate.DICOM, negotiate.DICOM_JSON, negotiate.DICOM_XML)
META_PIECE_BYTES = 4096


async def store(service: Service, request: Request) -> None:
    """POST of instances to /studies or /studies/{study}.

    A body that breaks off is answered by 400 (413, 408) even where instances of it were stored:
    they stay, the answer lists them, and a sender that looks at the status alone sends again.
    """
    form = negotiate.choose_model(request.accepts(), single=True)
    if form is None:
        raise NotAcceptableError("the answer is given as application/dicom+json or dicom+xml")
    conversation = service.receiver.conversation(
        Origin(
            channel=CHANNEL,
            calling_ae_title="",
            address=request.address,
            conversation=secrets.token_hex(16),
        )
    )
    try:
        content_type, kind = _content_type(request)
        announced_bytes = _announced_bytes(request, service.limits.body_bytes_max)
    except FileroomError as error:
        conversation.refused(stow_report.request_reason(error))
        await conversation.close()
        raise
    study = request.parameters.get("study")
    storing: Storing | MetadataStoring
    if kind == negotiate.DICOM:
        storing = Storing(service, conversation, study)
    else:
        storing = MetadataStoring(service, conversation, study, kind=kind)
        announced_bytes *= 2  # values are set aside before they are in an instance
    broken: FileroomError | None = None
    is_recorded = True  # what receiving refuses
    try:
        # Before the body is asked for: a caller that waits for "100 Continue" keeps it.
        conversation.refuse_without_room(announced_bytes)
        is_recorded = False
        if content_type.name == "multipart/related":
            boundary = content_type.parameter("boundary") or ""
            await storing.take_parts(MultipartParser(boundary), _body(service, request))
        else:
            await storing.take_whole(_body(service, request))
    except DisconnectedError:
        raise
    except FileroomError as error:
        broken = error
    finally:
        await storing.close()
    if broken is None and not storing.outcomes:
        broken = BadRequestError("the body holds no instance")
    if broken is not None and not is_recorded:
        conversation.refused(stow_report.request_reason(broken))
    await stow_answer.report(request, form, storing.outcomes, broken)


def _content_type(request: Request) -> tuple[MediaType, str]:
    """The media type of the body, and that of its parts or of itself.

    Raises:
        UnsupportedMediaTypeError, BadRequestError.
    """
    text = request.header(b"content-type")
    if text is None:
        raise BadRequestError("the request has no Content-Type")
    try:
        found = media_type.parse(text)
        kind = found.name
        if kind == "multipart/related":
            kind = media_type.parse(found.parameter("type") or "").name
    except MediaTypeError as error:
        raise UnsupportedMediaTypeError(str(error)) from error
    coding = request.header(b"content-encoding")
    if coding is not None and coding.strip().lower() != "identity":
        # A few bytes of it could stand for any number of bytes.
        raise UnsupportedMediaTypeError("bodies are taken without a content coding only")
    if kind not in KINDS:
        raise UnsupportedMediaTypeError(
            f"bodies are taken as multipart/related of one of {', '.join(KINDS)}, or as one of them"
        )
    return found, kind


def _announced_bytes(request: Request, body_bytes_max: int) -> int:
    """How long the body is to be; 0 where nobody says. Raises TooLargeError."""
    announced = request.header(b"content-length")
    if announced is None or not announced.isdecimal():
        return 0
    if int(announced) > body_bytes_max:
        raise TooLargeError(f"a body of {announced} B is over {body_bytes_max} B")
    return int(announced)


async def _body(service: Service, request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Raises:
        TooLargeError, SilentPeerError, DisconnectedError.
    """
    taken_bytes = 0
    more = True
    while more:
        try:
            async with asyncio.timeout(service.limits.idle_s):
                message = await request.next_message()
        except TimeoutError:
            raise SilentPeerError(
                f"nothing of the body came for {service.limits.idle_s:g} s"
            ) from None
        more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        taken_bytes += len(data)
        if taken_bytes > service.limits.body_bytes_max:
            raise TooLargeError(f"the body is over {service.limits.body_bytes_max} B")
        yield data


class Storing:
    """The instances of one request, from its body to the spool.

    Attributes:
        outcomes: of the parts whose end has come, in their order; complete after `close`.
    """

    def __init__(self, service: Service, conversation: Conversation, study: str | None) -> None:
        self._limits = service.limits
        self._conversation = conversation
        self._study = study
        self._arriving: Arriving | None = None
        self._parts = 0
        self._finishing = Finishing(service.limits)
        self.outcomes = self._finishing.outcomes

    async def take_parts(self, parser: MultipartParser, body: AsyncIterator[bytes]) -> None:
        """Take a multipart body. Raises MultipartError, and what reading the body raises."""
        async for data in body:
            parser.feed(data)
            while (event := parser.next_event()) is not None:
                if isinstance(event, PartData):
                    await self._write(event.data)
                elif isinstance(event, PartStarted):
                    self._begin(event.headers)
                elif isinstance(event, PartEnded):
                    await self._end()
        parser.finish()

    async def take_whole(self, body: AsyncIterator[bytes]) -> None:
        """Take a body that is one Part 10 file. Raises what reading the body raises."""
        self._begin({})
        size_bytes = 0
        async for data in body:
            size_bytes += len(data)
            await self._write(memoryview(data))
        if size_bytes:
            await self._end()

    async def close(self) -> None:
        """Give up what is incomplete, wait for what is complete, and end the conversation."""
        if self._arriving is not None:
            self._arriving.abandon()
            self._arriving = None
        try:
            await self._finishing.settle()
        finally:
            await self._conversation.close()

    def _begin(self, headers: dict[str, str]) -> None:
        self._parts += 1
        if self._parts > self._limits.parts_max:
            raise TooLargeError(f"the body has over {self._limits.parts_max} parts")
        self._arriving = Arriving(self._conversation, self._study)
        self._arriving.check_headers(headers)

    async def _write(self, data: memoryview) -> None:
        arriving = self._arriving
        assert arriving is not None
        arriving.write(data)
        if arriving.reception is not None and arriving.reception.full:
            await arriving.ready()

    async def _end(self) -> None:
        arriving = self._arriving
        assert arriving is not None
        self._arriving = None
        await self._finishing.add(arriving.finish(), size_bytes=arriving.size_bytes)


class Arriving:
    """One part: a Part 10 file on its way to a Reception.

    A part that fails is read to its end and dropped, so that the parts behind it can be taken.
    """

    def __init__(self, conversation: Conversation, study: str | None) -> None:
        self._conversation = conversation
        self._study = study
        self._splitter: Part10Splitter | None = Part10Splitter()
        self._split_bytes = 0
        self._scanner: HeaderScanner | None = None
        self._claims: tuple[str | None, str | None] = (None, None)
        self._error: FileroomError | None = None
        self._is_recorded = False  # the error, by receiving
        self.reception: Reception | None = None
        self.size_bytes = 0

    def check_headers(self, headers: dict[str, str]) -> None:
        """Refuse a part that says it is something else than a Part 10 file as it is."""
        text = headers.get("content-type", negotiate.DICOM)
        coding = headers.get("content-transfer-encoding", "binary").lower()
        try:
            right = media_type.parse(text).name == negotiate.DICOM
        except MediaTypeError:
            right = False
        if not right or coding not in ("binary", "8bit", "7bit"):
            self._fail(UnsupportedMediaTypeError("a part is not application/dicom in binary"))

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the part; `data` may be reused afterwards."""
        self.size_bytes += len(data)
        if self._error is not None:
            return
        try:
            if self._splitter is None:
                self._write_data_set(data)
            else:
                self._split(self._splitter, data)
        except FileroomError as error:
            self._fail(error)

    async def ready(self) -> None:
        """Return once the spool takes more of this part, or has failed it."""
        assert self.reception is not None
        try:
            await self.reception.ready()
        except FileroomError as error:
            self._fail(error)

    async def finish(self) -> Outcome:
        """Make the instance ours; or say why it is not, and have it recorded."""
        received = None
        try:
            if self._error is None and self._splitter is not None:
                self._begin(self._splitter.finish())
            if self._error is None and self._scanner is not None:
                self._check_study(self._scanner)
            if self._error is None and self.reception is not None:
                with self._receiving():
                    received = await self.reception.finish()
        except FileroomError as error:
            self._error = error
        finally:
            self.abandon()
        if self._error is not None and not self._is_recorded:
            self._conversation.refused(stow_report.recorded_reason(self._error))
        return Outcome(*self._claims, received, None if received is not None else self._error)

    def abandon(self) -> None:
        """Give the instance up, unless it is finished."""
        if self.reception is not None:
            self.reception.abandon()
            self.reception = None

    def _split(self, splitter: Part10Splitter, data: memoryview) -> None:
        """Feed file meta information in small pieces, and the rest, uncopied, as data set."""
        position = 0
        while position < len(data):
            piece = data[position : position + META_PIECE_BYTES]
            start = splitter.feed(piece)
            if start is not None:
                self._begin(start)
                offset = position + start.dataset_offset - self._split_bytes
                if offset < position:
                    self._write_data_set(splitter.remainder)
                    offset = position + len(piece)
                self._write_data_set(data[offset:])
                return
            self._split_bytes += len(piece)
            position += len(piece)

    def _begin(self, start: Part10Start) -> None:
        self._splitter = None
        self._claims = (start.sop_class_uid, start.sop_instance_uid)
        if self._study is not None:
            self._scanner = HeaderScanner(start.transfer_syntax_uid)
        # Files in service name other UIDs in their file meta information than in their data set,
        # which is what is stored and what decides; so nothing is announced.
        with self._receiving():
            self.reception = self._conversation.begin(
                sop_class_uid=None,
                sop_instance_uid=None,
                transfer_syntax_uid=start.transfer_syntax_uid,
                head=start.head,
            )

    def _write_data_set(self, data: memoryview) -> None:
        if self._scanner is not None and self._scanner.feed(data):
            self._check_study(self._scanner)
            self._scanner = None
        if self.reception is not None:
            self.reception.write(data)

    def _check_study(self, scanner: HeaderScanner) -> None:
        if scanner.finish().study_instance_uid != self._study:
            raise OtherStudyError("the instance is of another study than the path names")

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """Around what receiving does: a refusal of its own it has on record already."""
        try:
            yield
        except FileroomError:
            self._is_recorded = True
            raise

    def _fail(self, error: FileroomError) -> None:
        self._error = error
        self._splitter = self._scanner = None
        self.abandon()
