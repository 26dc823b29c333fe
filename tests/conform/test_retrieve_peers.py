"""Programs of others that retrieve from a whole node: DCMTK, pynetdicom, Orthanc.

What is sent in the stored transfer syntax is bit for bit what was stored; what is transcoded holds
the same pixels as another codec decodes.
"""

import asyncio
import json
import os
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from pynetdicom import AE, StoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from conform.test_audit_node import told
from conform.test_node_peers import Orthanc, until_it_answers
from fileroom.cli.connection import LocalNode
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from fileroom.dicom.part10 import Part10Splitter
from fileroom.dimse.dispatch import BREAKS_MAX
from fileroom.node.config import PeerSettings, ProviderSettings
from instances import PATIENT_ID, part10, uids
from nodes import WAIT_S, Reached, made
from peers import free_port, program, run, until_listening

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
STUDY = uids(1, 1, 1)[0]
# One file an instance, in as many transfer syntaxes, each of a study of its own.
STORED = (
    "rtdose_rle_1frame.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000.dcm",
    "JPGExtended.dcm",
    "SC_rgb_jpeg_gdcm.dcm",  # lossless JPEG
    "examples_ybr_color.dcm",
    "examples_jpeg2k.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "image_dfl.dcm",
    "ExplVR_BigEnd.dcm",
    "rtplan.dcm",
    "liver_1frame.dcm",
    "test-SR.dcm",
)


def shipped(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def data_set_of(file: bytes) -> bytes:
    splitter = Part10Splitter()
    start = splitter.feed(file) or splitter.finish()
    return file[start.dataset_offset :]


def syntax_of(file: bytes) -> str:
    splitter = Part10Splitter()
    return (splitter.feed(file) or splitter.finish()).transfer_syntax_uid


def opened(file: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(file))


def store(node: Reached, *files: bytes) -> None:
    for file in files:
        headers = {"Content-Type": "application/dicom"}
        code, answer, _ = node.request("POST", "/dicomweb/studies", headers, file)
        assert code == 200, answer


@contextmanager
def node_with(folder: Path, **peers: tuple[str, int]) -> Iterator[Reached]:
    """A node that knows these peers, an AE title and a port each."""
    settings = made(folder / "data")
    known = {
        name: PeerSettings(ae_title=title, host="127.0.0.1", port=port)
        for name, (title, port) in peers.items()
    }
    settings = msgspec.structs.replace(settings, peers=known)
    with LocalNode(settings, in_process=True) as reached:
        yield Reached(settings, reached.addresses.http, reached.addresses.dimse)


def scu(tool: str) -> str:
    return program(tool, package="dcmtk")


def asked(*, level: str = "STUDY", **keys: str) -> list[str]:
    tags = {
        "patient": "0010,0020",
        "study": "0020,000d",
        "series": "0020,000e",
        "image": "0008,0018",
    }
    named = {"0008,0052": level, **{tags[name]: value for name, value in keys.items()}}
    return [part for tag, value in named.items() for part in ("-k", f"{tag}={value}")]


def asked_for(file: bytes) -> list[str]:
    """One instance."""
    said = opened(file)
    return asked(
        level="IMAGE",
        study=said.StudyInstanceUID,
        series=said.SeriesInstanceUID,
        image=said.SOPInstanceUID,
    )


def getscu(node: Reached, out: Path, *options: str) -> str:
    out.mkdir(exist_ok=True)
    for each in out.iterdir():
        each.unlink()
    target = ("-aec", "FILEROOM", "-od", str(out), node.dimse[0], str(node.dimse[1]))
    code, said = asyncio.run(run(scu("getscu"), "-v", "+B", *options, *target))
    assert code == 0, said
    return said


def counted(said: str) -> tuple[int, int, int]:
    """Completed, failed and warning, as getscu tells them."""
    found = {
        line.split("Number of ")[1].split(" Sub")[0]: int(line.rsplit(":", 1)[1])
        for line in said.splitlines()
        if "Number of" in line and "Suboperations" in line
    }
    return found["Completed"], found["Failed"], found["Warning"]


# --- DCMTK: getscu


def test_getscu_gets_every_level_bit_for_bit(tmp_path):
    files = [part10(1, s, n) for s in (1, 2) for n in range(12)] + [part10(2, 1, 1)]
    out = tmp_path / "out"
    with node_with(tmp_path) as node:
        store(node, *files)
        for stage in ("spooled", "sealed"):
            for options, count in (
                (["-P", *asked(level="PATIENT", patient=PATIENT_ID)], 25),
                (["-P", *asked(patient=PATIENT_ID, study=STUDY)], 24),
                (["-S", *asked(study=STUDY)], 24),
                (["-S", *asked(level="SERIES", study=STUDY, series=uids(1, 2, 1)[1])], 12),
                (["-S", *asked(study="1.2.3")], 0),
            ):
                assert counted(getscu(node, out, *options)) == (count, 0, 0), stage
                got = {data_set_of(each.read_bytes()) for each in out.iterdir()}
                assert len(got) == count
                assert got <= {data_set_of(each) for each in files}
            node.wait_committed(len(files))


@pytest.mark.parametrize(
    "option",
    ["+x=", "+xe", "+xb", "+xs", "+xy", "+xx", "+xv", "+xw", "+xt", "+xu", "+xr", "+xd", "+xi"],
)
def test_getscu_gets_what_is_stored_in_any_form_whatever_it_prefers(option, tmp_path):
    names = STORED if option in ("+x=", "+xi") else STORED[:3]
    out = tmp_path / "out"
    with node_with(tmp_path) as node:
        for name in names:
            file = shipped(name)
            store(node, file)
            before = opened(file)
            said = getscu(node, out, option, "-S", *asked_for(file))
            assert counted(said) == (1, 0, 0), name
            (path,) = out.iterdir()
            got = path.read_bytes()
            assert syntax_of(got) == ExplicitVRLittleEndian, name
            if syntax_of(file) == syntax_of(got):
                assert data_set_of(got) == data_set_of(file)
            assert_same_image(before, opened(got), name)


def assert_same_image(before: Dataset, after: Dataset, name: str) -> None:
    """The same pixels, by another codec than the node's where there is one."""
    assert after.SOPInstanceUID == before.SOPInstanceUID
    if "PixelData" not in before:
        return
    try:
        expected = before.pixel_array
    except (RuntimeError, NotImplementedError):  # pydicom has no codec for it: DCMTK does
        expected = by_dcmtk(name).pixel_array
    rounding = 1 if "YBR" in str(before.PhotometricInterpretation) else 0
    difference = after.pixel_array.astype(int) - expected.astype(int)
    assert numpy.abs(difference).max() <= rounding, name


def by_dcmtk(name: str) -> Dataset:
    source = str(get_testdata_file(name, download=False))
    done = subprocess.run([scu("dcmdjpeg"), source, "/dev/stdout"], capture_output=True, check=True)
    return opened(done.stdout)


def test_getscu_is_told_what_it_could_not_get(tmp_path):
    damaged = bytearray(shipped("MR_small_RLE.dcm"))
    damaged[-1500:-1000] = bytes(500)  # runs of a frame: it gives fewer bytes than an image has
    out = tmp_path / "out"
    with node_with(tmp_path) as node:
        store(node, bytes(damaged))
        study = opened(bytes(damaged)).StudyInstanceUID
        said = getscu(node, out, "-S", *asked(study=study))
        assert counted(said) == (0, 1, 0)
        assert "OutOfResourcesSubOperations" in said


# --- DCMTK: movescu and storescp


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    folder.mkdir(exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        [scu("storescp"), "+B", *options, "-aet", "STORESCP", "-od", str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        asyncio.run(until_listening(port))
        yield port, process
    finally:
        process.kill()
        process.wait()


def movescu(node: Reached, *options: str, to: str = "STORESCP", timeout_s: float = 60) -> str:
    target = ("-aec", "FILEROOM", "-aem", to, node.dimse[0], str(node.dimse[1]))
    _, said = asyncio.run(run(scu("movescu"), "-v", "-S", *options, *target, timeout_s=timeout_s))
    return said


def got_in(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in sorted(folder.iterdir())]


def test_movescu_has_everything_sent_to_storescp_as_it_is_stored(tmp_path):
    files = {name: shipped(name) for name in STORED}
    out = tmp_path / "out"
    with (
        storescp(out, "--accept-all") as (port, _),
        node_with(tmp_path, pacs=("STORESCP", port)) as node,
    ):
        store(node, *files.values())
        node.wait_committed(len(files))
        studies = "\\".join({opened(each).StudyInstanceUID for each in files.values()})
        assert "Success" in movescu(node, *asked(study=studies))
        by_uid = {opened(each).SOPInstanceUID: each for each in got_in(out)}
        for name, file in files.items():
            got = by_uid[opened(file).SOPInstanceUID]
            if name == "ExplVR_BigEnd.dcm":
                assert syntax_of(got) == ExplicitVRLittleEndian
                assert_same_image(opened(file), opened(got), name)
            else:
                assert syntax_of(got) == syntax_of(file), name
                assert data_set_of(got) == even(data_set_of(file)), name


def even(data_set: bytes) -> bytes:
    """A deflated data set, as it is sent (PS3.5 §A.5)."""
    return data_set + bytes(len(data_set) % 2)


def test_a_destination_that_takes_implicit_only_gets_implicit(tmp_path):
    out = tmp_path / "out"
    with storescp(out, "+xi") as (port, _), node_with(tmp_path, pacs=("STORESCP", port)) as node:
        for name in STORED:
            file = shipped(name)
            store(node, file)
            assert "Success" in movescu(node, *asked_for(file)), name
            (got,) = got_in(out)
            assert syntax_of(got) == ImplicitVRLittleEndian
            assert_same_image(opened(file), opened(got), name)
            next(out.iterdir()).unlink()


def test_movescu_moves_to_itself(tmp_path):
    files, port, out = [part10(1, 1, n) for n in range(25)], free_port(), tmp_path / "out"
    out.mkdir()
    with node_with(tmp_path, me=("MOVESCU", port)) as node:
        store(node, *files)
        options = ("+P", str(port), "+B", *asked(study=STUDY))
        done = subprocess.run(
            [scu("movescu"), "-v", "-S", *options, "-aec", "FILEROOM", "-aem", "MOVESCU",
             node.dimse[0], str(node.dimse[1])],
            cwd=out, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "Received Final Move Response (Success)" in done.stdout + done.stderr
        assert sorted(map(data_set_of, got_in(out))) == sorted(map(data_set_of, files))
    opens = told(tmp_path / "data", "access.opened")
    assert {(each["channel"], each["destination"]) for each in opens} == {("dimse-move", "MOVESCU")}
    closes = told(tmp_path / "data", "access.closed")
    assert sum(each["instances"] for each in closes) == len(files)


def test_an_unknown_destination_and_one_that_does_not_answer_are_told_apart(tmp_path):
    with node_with(tmp_path, pacs=("STORESCP", free_port())) as node:
        store(node, part10(1, 1, 1), part10(1, 1, 2))
        assert "MoveDestinationUnknown" in movescu(node, *asked(study=STUDY), to="NOBODY")
        said = movescu(node, *asked(study=STUDY))
        assert "OutOfResourcesSubOperations" in said


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during", "--refuse"])
def test_a_destination_that_aborts_or_refuses_ends_the_move_and_not_the_node(option, tmp_path):
    with (
        storescp(tmp_path / "out", option) as (port, _),
        node_with(tmp_path, pacs=("STORESCP", port)) as node,
    ):
        store(node, *(part10(1, 1, n) for n in range(3 * BREAKS_MAX)))
        said = movescu(node, *asked(study=STUDY))
        assert "OutOfResourcesSubOperations" in said
        assert node.status()["state"] == "running"


def test_a_destination_that_dies_leaves_a_warning(tmp_path):
    out = tmp_path / "out"
    with (
        storescp(out, "--sleep-after", "1") as (port, process),
        node_with(tmp_path, pacs=("STORESCP", port)) as node,
    ):
        store(node, *(part10(1, 1, n) for n in range(9)))

        def kill_it() -> None:
            deadline = time.monotonic() + WAIT_S
            while len(list(out.iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()

        killer = threading.Thread(target=kill_it)
        killer.start()
        said = movescu(node, *asked(study=STUDY))
        killer.join()
        assert "SubOperationsCompleteOneOrMoreFailures" in said, said


def test_movescu_that_cancels_is_answered_at_once(tmp_path):
    out, count = tmp_path / "out", 200
    with (
        storescp(out, "--sleep-after", "1") as (port, _),
        node_with(tmp_path, pacs=("STORESCP", port)) as node,
    ):
        store(node, *(part10(1, 1, n) for n in range(count)))
        said = movescu(node, "--cancel", "1", *asked(study=STUDY))
        assert "Received Final Move Response (Cancel" in said, said
        assert len(list(out.iterdir())) < 10


# --- pynetdicom


@dataclass
class Viewer:
    """pynetdicom as the one who asks, and as a destination.

    Attributes:
        got: instances as they came, by SOP Instance UID: transfer syntax and data set.
        statuses: what is answered for an instance; else success.
    """

    got: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    originators: set[tuple[str, int]] = field(default_factory=set)
    on_store: Any = None
    timeout_s: float = WAIT_S

    def store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        data = event.request.DataSet.getvalue()
        self.got[uid] = (str(event.context.transfer_syntax), data)
        originator = event.request.MoveOriginatorApplicationEntityTitle
        if originator is not None:
            self.originators.add((str(originator).strip(), event.request.MoveOriginatorMessageID))
        if self.on_store is not None:
            self.on_store(event)
        return self.statuses.get(uid, 0)

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_C_STORE, self.store)]

    def retrieve(
        self, node: Reached, *contexts: tuple[str, list[str]], **keys: str
    ) -> list[tuple[Dataset, Dataset | None]]:
        """C-GET; the answers with their identifiers."""
        entity = AE("VIEWER")
        entity.dimse_timeout = entity.network_timeout = self.timeout_s
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet, PLAIN)
        entity.add_requested_context(PatientRootQueryRetrieveInformationModelGet, PLAIN)
        for sop_class, syntaxes in contexts:
            entity.add_requested_context(sop_class, syntaxes)
        roles = [build_role(each, scp_role=True) for each in {one for one, _ in contexts}]
        association = entity.associate(
            *node.dimse, ae_title="FILEROOM", ext_neg=roles, evt_handlers=self.handlers
        )
        assert association.is_established
        asking = identifier(**keys)
        answers = list(association.send_c_get(asking, StudyRootQueryRetrieveInformationModelGet))
        if association.is_established:
            association.release()
        return answers

    @contextmanager
    def listening(self, *, syntaxes: list[str] = PLAIN) -> Iterator[int]:
        entity, port = AE("VIEWER"), free_port()
        for each in StoragePresentationContexts:
            entity.add_supported_context(each.abstract_syntax, syntaxes)
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=self.handlers)
        try:
            yield port
        finally:
            server.shutdown()

    def move(self, node: Reached, *, to: str = "VIEWER", **keys: str) -> list[Any]:
        entity = AE("MOVER")
        entity.dimse_timeout = entity.network_timeout = WAIT_S
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelMove, PLAIN)
        association = entity.associate(*node.dimse, ae_title="FILEROOM")
        assert association.is_established
        answers = list(
            association.send_c_move(
                identifier(**keys), to, StudyRootQueryRetrieveInformationModelMove, msg_id=77
            )
        )
        association.release()
        return answers


def identifier(**keys: str) -> Dataset:
    asking = Dataset()
    asking.QueryRetrieveLevel = keys.pop("level", "STUDY")
    for keyword, value in keys.items():
        setattr(asking, keyword, value)
    return asking


def test_pynetdicom_gets_each_stored_form_bit_for_bit_where_it_takes_it(tmp_path):
    files = [shipped(name) for name in STORED if name != "ExplVR_BigEnd.dcm"]
    with node_with(tmp_path) as node:
        store(node, *files)
        for file in files:
            told_, viewer = opened(file), Viewer()
            context = (str(told_.SOPClassUID), [syntax_of(file)])
            *_, (last, failed) = viewer.retrieve(
                node,
                context,
                level="IMAGE",
                StudyInstanceUID=told_.StudyInstanceUID,
                SeriesInstanceUID=told_.SeriesInstanceUID,
                SOPInstanceUID=told_.SOPInstanceUID,
            )
            assert (last.Status, last.NumberOfCompletedSuboperations, failed) == (0, 1, None)
            assert viewer.got == {
                str(told_.SOPInstanceUID): (syntax_of(file), even(data_set_of(file)))
            }


def test_pynetdicom_gets_single_images_and_is_told_of_those_it_refused(tmp_path):
    files = [part10(1, 1, n) for n in range(8)]
    uids_ = [opened(each).SOPInstanceUID for each in files]
    viewer = Viewer(statuses={uids_[1]: 0xA700, uids_[2]: 0xB007})
    with node_with(tmp_path) as node:
        store(node, *files)
        below = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": uids(1, 1, 1)[1]}
        *_, (last, failed) = viewer.retrieve(
            node,
            (CTImageStorage, PLAIN),
            level="IMAGE",
            SOPInstanceUID=uids_[:4],
            **below,
        )
        assert last.Status == 0xB000
        assert last.NumberOfCompletedSuboperations == 2
        assert last.NumberOfFailedSuboperations == 1
        assert last.NumberOfWarningSuboperations == 1
        assert failed.FailedSOPInstanceUIDList == uids_[1]
        assert set(viewer.got) == set(uids_[:4])
        *_, (last, failed) = viewer.retrieve(node, (MRImageStorage, PLAIN), **below)
        assert last.Status == 0xA702
        assert set(failed.FailedSOPInstanceUIDList) == set(uids_)


def test_pynetdicom_that_cancels_a_get_gets_no_more(tmp_path):
    viewer = Viewer()
    with node_with(tmp_path) as node:
        store(node, *(part10(1, 1, n) for n in range(60)))

        def cancel(event: Any) -> None:
            if len(viewer.got) == 5:
                event.assoc.send_c_cancel(1, None, StudyRootQueryRetrieveInformationModelGet)

        viewer.on_store = cancel
        *_, (last, _) = viewer.retrieve(node, (CTImageStorage, PLAIN), StudyInstanceUID=STUDY)
        assert last.Status == 0xFE00
        done = last.NumberOfCompletedSuboperations
        assert 5 <= done < 60
        assert last.NumberOfRemainingSuboperations == 60 - done
        assert len(viewer.got) == done


def test_pynetdicom_that_aborts_in_the_middle_leaves_the_node_well(tmp_path):
    viewer = Viewer(timeout_s=1)  # which pynetdicom goes on to wait for an answer then
    viewer.on_store = lambda event: event.assoc.abort()
    with node_with(tmp_path) as node:
        store(node, *(part10(1, 1, n) for n in range(20)))
        viewer.retrieve(node, (CTImageStorage, PLAIN), StudyInstanceUID=STUDY)
        other = Viewer()
        *_, (last, _) = other.retrieve(node, (CTImageStorage, PLAIN), StudyInstanceUID=STUDY)
        assert (last.Status, len(other.got)) == (0, 20)
        assert node.status()["associations"] == 0


def test_pynetdicom_moves_and_both_sides_are_told_by_whom(tmp_path):
    files = [part10(1, 1, n) for n in range(30)] + [shipped("MR_small_RLE.dcm")]
    refused = opened(files[3]).SOPInstanceUID
    viewer = Viewer(statuses={refused: 0xC000})
    studies = f"{STUDY}\\{opened(files[-1]).StudyInstanceUID}"
    with viewer.listening() as port, node_with(tmp_path, viewer=("VIEWER", port)) as node:
        store(node, *files)
        *pending, (last, failed) = viewer.move(node, StudyInstanceUID=studies)
    assert {each.Status for each, _ in pending} == {0xFF00}
    assert last.Status == 0xB000
    assert last.NumberOfCompletedSuboperations == len(files) - 1
    assert last.NumberOfFailedSuboperations == 1
    assert failed.FailedSOPInstanceUIDList == refused
    assert viewer.originators == {("MOVER", 77)}
    assert len(viewer.got) == len(files)
    for file in files[:-1]:
        assert viewer.got[opened(file).SOPInstanceUID][1] == data_set_of(file)
    syntax, data = viewer.got[opened(files[-1]).SOPInstanceUID]
    assert syntax == ExplicitVRLittleEndian
    assert opened(shipped("MR_small.dcm")).PixelData in data


def test_a_destination_that_takes_only_what_is_not_stored_gets_nothing(tmp_path):
    viewer = Viewer()
    with (
        viewer.listening(syntaxes=[RLELossless]) as port,
        node_with(tmp_path, viewer=("VIEWER", port)) as node,
    ):
        store(node, part10(1, 1, 1), shipped("MR_small_RLE.dcm"))
        *_, (last, failed) = viewer.move(node, StudyInstanceUID=STUDY)
        assert last.Status == 0xA702
        assert failed.FailedSOPInstanceUIDList == uids(1, 1, 1)[2]
        rle = opened(shipped("MR_small_RLE.dcm"))
        *_, (last, _) = viewer.move(node, StudyInstanceUID=rle.StudyInstanceUID)
        assert last.Status == 0
        assert viewer.got[rle.SOPInstanceUID][0] == RLELossless


def test_htj2k_goes_as_it_is_or_decoded(tmp_path):
    import imagecodecs

    plain = opened(shipped("MR_small.dcm"))
    pixels = plain.pixel_array
    coded = opened(shipped("MR_small_jp2klossless.dcm"))
    frame = bytes(imagecodecs.htj2k_encode(pixels.astype("<i2"), reversible=True))
    from pydicom.encaps import encapsulate
    from pydicom.uid import HTJ2KLossless

    coded.PixelData = encapsulate([frame])
    coded.file_meta.TransferSyntaxUID = HTJ2KLossless
    made_ = BytesIO()
    coded.save_as(made_)
    file = made_.getvalue()
    with node_with(tmp_path) as node:
        store(node, file)
        for syntaxes in ([HTJ2KLossless], PLAIN):
            viewer = Viewer()
            *_, (last, _) = viewer.retrieve(
                node,
                (MRImageStorage, [str(each) for each in syntaxes]),
                StudyInstanceUID=coded.StudyInstanceUID,
            )
            assert last.Status == 0
            ((syntax, data),) = viewer.got.values()
            assert syntax == syntaxes[0]
            if syntax == HTJ2KLossless:
                assert data == data_set_of(file)
            else:
                assert plain.PixelData in data


# --- a provider that is away


def test_a_study_that_lies_at_a_provider_that_is_away_is_refused_without_a_wait(tmp_path):
    settings = made(tmp_path / "data")
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    settings = msgspec.structs.replace(
        settings,
        providers={"copies": ProviderSettings(kind="directory", path=str(bucket))},
        local=msgspec.structs.replace(settings.local, packs_size_bytes=0),
        cache=msgspec.structs.replace(settings.cache, size_bytes=0),
    )

    def evicted(node: Reached) -> bool:
        return not list((tmp_path / "data" / "packs").rglob("*.*")) and all(
            not each.is_file() for each in (tmp_path / "data" / "packs").rglob("*")
        )

    with LocalNode(settings, in_process=True) as reached:
        node = Reached(settings, reached.addresses.http, reached.addresses.dimse)
        store(node, *(part10(1, 1, n) for n in range(5)))
        node.wait_committed(5)
        deadline = time.monotonic() + WAIT_S
        while not evicted(node) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert evicted(node)
    with LocalNode(settings, in_process=True) as reached:
        node = Reached(settings, reached.addresses.http, reached.addresses.dimse)
        bucket.rename(tmp_path / "unmounted")
        viewer = Viewer()
        *_, (last, _) = viewer.retrieve(node, (CTImageStorage, PLAIN), StudyInstanceUID=STUDY)
        assert (last.Status, last.NumberOfFailedSuboperations) == (0xA702, 5)
        store(node, part10(1, 2, 1))
        *_, (last, _) = viewer.retrieve(node, (CTImageStorage, PLAIN), StudyInstanceUID=STUDY)
        assert last.Status == 0xB000
        assert last.NumberOfCompletedSuboperations == 1
        (tmp_path / "unmounted").rename(bucket)
        *_, (last, _) = viewer.retrieve(node, (CTImageStorage, PLAIN), StudyInstanceUID=STUDY)
        assert (last.Status, len(viewer.got)) == (0, 6)


# --- Orthanc


@pytest.fixture
def pair(tmp_path) -> Iterator[tuple[Reached, Orthanc]]:
    """A node and Orthanc, which know one another."""
    tool = program("Orthanc", package="orthanc")
    port, dicom_port, folder = free_port(), free_port(), tmp_path / "orthanc"
    folder.mkdir()
    with node_with(tmp_path, orthanc=("ORTHANC", dicom_port)) as node:
        (folder / "orthanc.json").write_text(
            json.dumps(
                {
                    "Name": "peer",
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "index"),
                    "HttpPort": port,
                    "RemoteAccessAllowed": False,
                    "DicomServerEnabled": True,
                    "DicomAet": "ORTHANC",
                    "DicomPort": dicom_port,
                    "DicomModalities": {
                        "node": ["FILEROOM", *node.dimse],
                    },
                    "Plugins": [],
                }
            )
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [tool, str(folder / "orthanc.json")],
                stdout=log,
                stderr=log,
                env={**os.environ, "TCP_NODELAY": "1"},
            )
        started = Orthanc(f"http://127.0.0.1:{port}", folder)
        try:
            until_it_answers(process, started)
            yield node, started
        finally:
            process.terminate()
            process.wait()


def test_orthanc_moves_from_us_to_itself(pair):
    node, orthanc = pair
    # Of a dose in RLE DCMTK, which is in Orthanc, can make nothing, whoever sends it.
    names = [name for name in STORED if name != "rtdose_rle_1frame.dcm"]
    files = [part10(1, 1, n) for n in range(12)] + [shipped(name) for name in names]
    store(node, *files)
    studies = sorted({str(opened(each).StudyInstanceUID) for each in files})
    asking = {
        "Level": "Study",
        "Resources": [{"StudyInstanceUID": each} for each in studies],
        "TargetAet": "ORTHANC",
        "Synchronous": True,
    }
    orthanc.json("POST", "/modalities/node/move", asking)
    ids = orthanc.json("GET", "/instances")
    assert len(ids) == len(files)
    by_uid = {opened(each).SOPInstanceUID: each for each in files}
    for each in ids:
        got = orthanc.ask("GET", f"/instances/{each}/file")
        file = by_uid[opened(got).SOPInstanceUID]
        if syntax_of(got) == syntax_of(file):
            assert opened(got).get("PixelData") == opened(file).get("PixelData")
        else:
            assert syntax_of(got) in PLAIN
            assert_same_image(opened(file), opened(got), "JPGExtended.dcm")


def test_we_move_to_orthanc(pair):
    node, orthanc = pair
    files = [part10(1, 1, n) for n in range(25)]
    store(node, *files)
    *_, (last, failed) = Viewer().move(node, to="ORTHANC", StudyInstanceUID=STUDY)
    assert (last.Status, failed) == (0, None)
    assert last.NumberOfCompletedSuboperations == 25
    assert len(orthanc.json("GET", "/instances")) == 25


# --- Whether a peer answers


def test_a_peer_is_asked_for_an_echo_by_name_and_by_ae_title(pair, capsys):
    node, _ = pair
    for name in ("orthanc", "ORTHANC"):
        code, body, _ = node.request("POST", f"/peers/{name}/echo", {})
        told_ = json.loads(body)
        assert (code, told_["peer"], told_["answers"]) == (200, name, True)
        assert told_["took_s"] > 0
    assert node.request("POST", "/peers/other/echo", {})[0] == 404
    page = {"Origin": "http://evil.example"}
    assert node.request("POST", "/peers/orthanc/echo", page)[0] == 403
    assert node.request("GET", "/peers/orthanc/echo", {})[0] == 405
    data = ["--data", str(node.data)]
    peer = node.settings.peers["orthanc"]
    address = f"{peer.host}:{peer.port}"
    assert main(["peer", "add", "pacs", "--ae-title", "ORTHANC", "--address", address, *data]) == 0
    capsys.readouterr()
    for verb in (["echo"], ["peer", "test"]):
        for name in ("pacs", "ORTHANC"):
            assert main([*verb, name, *data]) == 0
            assert f"{name} answers" in capsys.readouterr().out
    assert main(["echo", "nobody", *data]) == ExitCode.NOT_FOUND
    assert "known are: pacs" in capsys.readouterr().err


def test_a_peer_that_does_not_answer_is_told_of_and_is_no_error(tmp_path):
    with node_with(tmp_path, gone=("GONE", free_port())) as node:
        code, body, _ = node.request("POST", "/peers/gone/echo", {})
        told_ = json.loads(body)
        assert (code, told_["answers"]) == (200, False)
        assert "no connection" in told_["problem"]
