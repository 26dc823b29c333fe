"""Makes the corpus anew, beside what was put there by name, in a folder of the repository:

    PYTHONPATH=tests .venv/bin/python -m fuzz.make_corpus

Nothing of it is an image of a person: PDUs that DCMTK sent, data sets and codestreams made here,
header fields out of standards.
"""

import json
import zlib
from collections.abc import Iterator

import dicom_samples as dicom
from fileroom.dicom.commitment import Reference, Result
from fileroom.dicom.json_model import instance_json
from fileroom.dicom.part10 import write_header
from fileroom.dicom.xml_model import native_model
from fileroom.pixels.transcoding import SOURCES
from fileroom.wire import message
from fuzz.mutation import CORPUS
from fuzz.targets import BIG, BOUNDARY, COMPRESSED, DEFLATED, EXPLICIT, IMPLICIT, SYNTAXES
from golden import wire_pdus
from hostile import ATTACKS as FILES
from hostile_images import ATTACKS as IMAGES
from hostile_images import codestreams, image, zeros_deflated
from rejection_parts import data_set_of, note_of
from wire_talk import data_pdu

SEED_BYTES_MAX = 8 << 10
PREFIX = "made-"


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def data_sets() -> Iterator[tuple[str, bytes]]:
    """Data sets behind the number of their syntax."""
    request = dicom.undefined_sequence(
        0x00400275, dicom.item(dicom.explicit(0x00401001, "SH", b"REQ1"), defined=False)
    )
    nested = dicom.ct_explicit(dicom.CT_ELEMENTS[:-1]) + request
    yield "explicit", bytes([0]) + dicom.ct_explicit()
    yield "nested", bytes([0]) + nested
    yield "implicit", bytes([1]) + dicom.ct_implicit()
    yield "deflated", bytes([2]) + deflated(nested)
    yield "bomb", bytes([2]) + deflated(dicom.ct_explicit()) + zeros_deflated(64 << 20)[:4000]
    yield "big-endian", bytes([3]) + dicom.ct_big_endian()
    for attack in (*FILES, *IMAGES):
        number = attack.name.split()[0]
        wanted = number in ("3", "9", "10", "11", "13", "14", "20", "22")
        if wanted and attack.transfer_syntax in SYNTAXES and len(attack.data_set) < 800:
            name = f"{number}-{zlib.crc32(attack.name.encode()):08x}"
            yield name, bytes([SYNTAXES.index(attack.transfer_syntax)]) + attack.data_set


def pdus() -> Iterator[tuple[str, bytes]]:
    requests = {
        name: value
        for name, value in vars(wire_pdus).items()
        if name.isupper() and isinstance(value, bytes)
    }
    for name, value in requests.items():
        yield name.lower(), b"\0" + value
    echo = wire_pdus.ECHOSCU_P_DATA_TF + wire_pdus.ECHOSCU_C_ECHO_RQ
    store = message.store_request(1, sop_class_uid="1.2", sop_instance_uid="1.2.3")
    stored = data_pdu((1, 3, store)) + data_pdu((1, 0, b"half"), (1, 2, b"rest"))
    yield "an-echo", b"\0" + wire_pdus.ECHOSCU_ASSOCIATE_RQ + echo
    yield "a-store", b"\1" + stored + wire_pdus.RELEASE_RQ
    yield "fragments", b"\1" + b"".join(data_pdu((1, 1, store[n : n + 1])) for n in range(20))


def files() -> Iterator[tuple[str, bytes]]:
    head = write_header("1.2", "1.2.3", EXPLICIT, source_ae_title="AE")
    yield "file", head + dicom.ct_explicit()
    yield "tiff", b"II*\0\x10\0\0\0" + head[8:] + dicom.ct_explicit()
    yield "program", b"MZ" + head[2:] + dicom.ct_explicit()
    for number, attack in enumerate(FILES):
        if attack.name.startswith("2 ") and len(attack.file) < 1000:
            yield f"early-{number}", attack.file


def bodies() -> Iterator[tuple[str, bytes]]:
    part = b"--" + BOUNDARY.encode() + b"\r\nContent-Type: application/dicom\r\n\r\n"
    end = b"\r\n--" + BOUNDARY.encode() + b"--\r\n"
    yield "one", part + b"DICM" + end
    yield "two", part + b"a\r\n" + part + b"\r\n--b" + end
    yield "preamble", b"preamble\r\n" + part + end + b"epilogue"
    yield "folded", part[:-2] + b"X: y\r\n z\r\n\r\n" + end
    yield "blanks", b"--b-1 \t \r\n\r\nx\r\n--b-1  --"


def frame_seeds() -> Iterator[tuple[str, bytes]]:
    yield from data_sets()
    for attack in IMAGES:
        wanted = attack.name.startswith("12 ") and attack.transfer_syntax in SYNTAXES
        if wanted and len(attack.data_set) < 1500:
            name = f"12-{zlib.crc32(attack.name.encode()):08x}"
            yield name, bytes([SYNTAXES.index(attack.transfer_syntax)]) + attack.data_set


def texts_of_metadata() -> Iterator[tuple[str, bytes]]:
    for name, data in data_sets():
        if name in ("explicit", "nested", "deflated"):
            yield name, instance_json(data[1:], SYNTAXES[data[0]])
    apart = {
        "00080018": {"vr": "UI", "Value": ["1.2.3"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "\u5c71"}]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "x/1"},
        "00420011": {"vr": "OB", "InlineBinary": "AAEC"},
        "00281050": {"vr": "DS", "Value": [1.5e300, -0]},
        "00081115": {"vr": "SQ", "Value": [{"0020000E": {"vr": "UI", "Value": [None]}}]},
    }
    yield "apart", json.dumps(apart).encode()


def json_seeds() -> Iterator[tuple[str, bytes]]:
    for name, text in texts_of_metadata():
        yield name, b"[" + text + b"]"
    yield "brackets", b"[" * 300
    yield "numbers", b'[{"00281050":{"vr":"DS","Value":[1e999,-1E-999,0.1,1]}}]'


def xml_seeds() -> Iterator[tuple[str, bytes]]:
    for name, text in texts_of_metadata():
        yield name, native_model(text)
    yield (
        "entities",
        (
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><NativeDicomModel>&b;'
            b"</NativeDicomModel>"
        ),
    )
    yield "latin-1", b'<?xml version="1.0" encoding="iso-8859-1"?><NativeDicomModel/>'


def identifiers() -> Iterator[tuple[str, bytes]]:
    level = dicom.explicit(0x00080052, "CS", b"STUDY ")
    name = dicom.explicit(0x00100010, "PN", b"Wei*^?a ")
    inside = dicom.undefined_sequence(0x00400275, dicom.item(dicom.explicit(0x00401001, "SH", b"")))
    yield "study", bytes([0]) + level + name + inside
    yield "implicit", bytes([1]) + dicom.implicit(0x00080052, b"IMAGE ")
    yield "unicode", bytes([0]) + dicom.explicit(0x00080005, "CS", b"ISO_IR 192") + level


def commitments() -> Iterator[tuple[str, bytes]]:
    references = (Reference("1.2", "1.2.3"), Reference("1.2", "1.2.4"))
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, BIG)):
        result = Result("1.2.9", references, [None, None], "FILEROOM")
        yield f"request-{number}", bytes([number]) + b"".join(result.data_set(syntax))


def notes() -> Iterator[tuple[str, bytes]]:
    references = {("1.2", "1.2.1"): ["1.3.1"], ("1.2", "1.2.2"): ["1.3.3"]}
    read = ("ConceptNameCodeSequence", "CurrentRequestedProcedureEvidenceSequence")
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, BIG, DEFLATED)):
        note = note_of(references, syntax=syntax, undefined=number % 2 == 1)
        for element in list(note):
            if element.keyword not in (*read, "SOPClassUID", "SOPInstanceUID"):
                del note[element.tag]
        yield f"note-{number}", bytes([number]) + data_set_of(note)


def fields() -> Iterator[tuple[str, bytes]]:
    for number, text in enumerate(
        (
            '*/*, multipart/related; type="application/dicom"; transfer-syntax=*;q=0.9',
            "multipart/related; type=image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90",
            'application/dicom+json, application/dicom+xml;q=0, text/html;level="1;2"',
            "bytes=0-9,20-29, -5,900-",
            'W/"abc", "def", *',
            "gzip;q=0.5, identity;q=0, *;q=0.001",
        )
    ):
        yield f"field-{number}", text.encode()


def queries() -> Iterator[tuple[str, bytes]]:
    for number, text in enumerate(
        (
            "PatientName=Wei*&fuzzymatching=true&limit=10&offset=5&includefield=all",
            "00100020=%22%22&emptyvaluematching=true&StudyDate=20200101-20201231",
            "StudyInstanceUID=1.2,1.3%5C1.4&ModalitiesInStudy=CT%5CMR&multiplevaluematching=true",
            "00400275.00401001=R1&includefield=00081115.00081199.00081155,PatientName",
        )
    ):
        yield f"query-{number}", text.encode()


def streams() -> Iterator[tuple[str, bytes]]:
    for syntax, frame in codestreams().items():
        yield syntax.rpartition("1.2.")[2], frame


def frames_of_syntaxes() -> Iterator[tuple[str, bytes]]:
    for syntax, frame in codestreams().items():
        yield syntax.rpartition("1.2.")[2], bytes([COMPRESSED.index(syntax)]) + frame


def sources() -> Iterator[tuple[str, bytes]]:
    known = sorted(SOURCES)
    for name, data in frame_seeds():
        syntax = SYNTAXES[data[0]]
        if syntax in known:
            yield name, bytes([known.index(syntax)]) + data[1:]
    whole = dicom.ct_explicit(dicom.CT_ELEMENTS[:18]) + image()
    yield "image", bytes([known.index(EXPLICIT)]) + whole


MAKERS = {
    "pdu": pdus,
    "header": data_sets,
    "part10": files,
    "multipart": bodies,
    "frames": frame_seeds,
    "described": data_sets,
    "json_metadata": json_seeds,
    "xml_metadata": xml_seeds,
    "queried": identifiers,
    "commitment": commitments,
    "rejection": notes,
    "accept": fields,
    "searched": queries,
    "look_ahead": streams,
    "decoded": frames_of_syntaxes,
    "transcoded": sources,
}


def main() -> None:
    for target, make in MAKERS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{PREFIX}*"):
            old.unlink()
        for name, data in make():
            assert len(data) <= SEED_BYTES_MAX, (target, name, len(data))
            (folder / f"{PREFIX}{name}").write_bytes(data)


if __name__ == "__main__":
    main()
