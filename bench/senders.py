"""Senders that are not the bottleneck: data sets framed as P-DATA-TF before the clock starts.

`python bench/senders.py dimse HOST PORT AET CONNECTIONS COUNT FILE…` sends over raw sockets,
one process a connection, and prints one JSON line. COUNT may be more than there are files:
the files then go again as other studies (another run number written over the one in the UIDs).
`python bench/senders.py stow URL CONNECTIONS PER_REQUEST FILE…` posts multipart/related.
"""

import http.client
import json
import multiprocessing
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

EXPLICIT_LITTLE = b"1.2.840.10008.1.2.1"
RUN_MARK = b".999.100000."
RUN_OFFSET = len(b".999.")


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq(called: str, sop_classes: list[bytes], pdu_bytes_max: int = 131072) -> bytes:
    body = item(0x10, b"1.2.840.10008.3.1.1.1")
    for n, sop_class in enumerate(sop_classes):
        context = struct.pack("BBBB", 2 * n + 1, 0, 0, 0)
        body += item(0x20, context + item(0x30, sop_class) + item(0x40, EXPLICIT_LITTLE))
    user = item(0x51, struct.pack(">I", pdu_bytes_max)) + item(
        0x52, b"1.2.826.0.1.3680043.10.999.2"
    )
    body += item(0x50, user)
    head = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + b"BENCH".ljust(16) + bytes(32)
    return struct.pack(">BBI", 1, 0, len(head) + len(body)) + head + body


def receive_exactly(link: socket.socket, count: int) -> bytes:
    out = bytearray()
    while len(out) < count:
        got = link.recv(count - len(out))
        if not got:
            raise EOFError("the server closed the connection")
        out += got
    return bytes(out)


def receive_pdu(link: socket.socket) -> tuple[int, bytes]:
    kind, _, length = struct.unpack(">BBI", receive_exactly(link, 6))
    return kind, receive_exactly(link, length)


def connect(host: str, port: int, called: str, sop_classes: list[bytes]) -> tuple[Any, int]:
    link = socket.create_connection((host, port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(associate_rq(called, sop_classes))
    kind, body = receive_pdu(link)
    assert kind == 2, f"PDU-type {kind:02X}H instead of A-ASSOCIATE-AC"
    at, pdu_bytes_max = 68, 0
    while at < len(body):
        item_kind, _, length = struct.unpack_from(">BBH", body, at)
        if item_kind == 0x21:
            assert body[at + 6] == 0, "a presentation context was refused"
        if item_kind == 0x50:
            sub = at + 4
            while sub < at + 4 + length:
                sub_kind, _, sub_length = struct.unpack_from(">BBH", body, sub)
                if sub_kind == 0x51:
                    (pdu_bytes_max,) = struct.unpack_from(">I", body, sub + 4)
                sub += 4 + sub_length
        at += 4 + length
    return link, pdu_bytes_max


def element(group: int, number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) & 1)
    return struct.pack("<HHI", group, number, len(value)) + value


def c_store_rq(sop_class: bytes, sop_instance: bytes, message_id: int) -> bytes:
    body = (
        element(0, 0x0002, sop_class)
        + element(0, 0x0100, struct.pack("<H", 1))
        + element(0, 0x0110, struct.pack("<H", message_id))
        + element(0, 0x0700, struct.pack("<H", 0))
        + element(0, 0x0800, struct.pack("<H", 1))
        + element(0, 0x1000, sop_instance)
    )
    return element(0, 0, struct.pack("<I", len(body))) + body


def p_data(context_id: int, control: int, data: bytes) -> bytes:
    head = struct.pack(">BBIIBB", 4, 0, len(data) + 6, len(data) + 2, context_id, control)
    return head + data


def load(path: str) -> tuple[bytes, bytes, bytes]:
    """(SOP Class UID, SOP Instance UID, data set) of a Part 10 file."""
    data = Path(path).read_bytes()
    (meta_bytes,) = struct.unpack_from("<I", data, 140)
    meta = data[144 : 144 + meta_bytes]

    def value(tag: bytes) -> bytes:
        at = meta.index(tag)
        (length,) = struct.unpack_from("<H", meta, at + 6)
        return meta[at + 8 : at + 8 + length].rstrip(b"\0")

    return value(b"\x02\0\x02\0UI"), value(b"\x02\0\x03\0UI"), data[144 + meta_bytes :]


def frame(
    context_id: int, loaded: tuple[bytes, bytes, bytes], message_id: int, peer_max: int
) -> bytearray:
    sop_class, sop_instance, data_set = loaded
    step = min(peer_max or 1 << 20, 1 << 20) - 6
    step -= step & 1
    out = bytearray(p_data(context_id, 3, c_store_rq(sop_class, sop_instance, message_id)))
    for start in range(0, len(data_set), step):
        last = start + step >= len(data_set)
        out += p_data(context_id, 2 if last else 0, data_set[start : start + step])
    return out


def run_marks(framed: bytes) -> list[int]:
    """Where the six digits of the run number stand in the first 64 KiB and in the command."""
    found, at = [], framed.find(RUN_MARK, 0, 65536)
    while at >= 0:
        found.append(at + RUN_OFFSET)
        at = framed.find(RUN_MARK, at + 1, 65536)
    return found


def send_all(arguments: tuple[str, int, str, list[str], int, int], gate: Any, answers: Any) -> None:
    host, port, called, paths, count, first_run = arguments
    loaded = [load(path) for path in paths]
    sop_classes = sorted({each[0] for each in loaded})
    link, peer_max = connect(host, port, called, sop_classes)
    framed = [
        frame(2 * sop_classes.index(each[0]) + 1, each, k % 65535 + 1, peer_max)
        for k, each in enumerate(loaded)
    ]
    marks = [run_marks(each) for each in framed]
    sizes = [len(each[2]) for each in loaded]
    del loaded
    gate.wait()
    began, sent_bytes, failed, waits = time.perf_counter(), 0, 0, []
    for k in range(count):
        which = k % len(framed)
        message = framed[which]
        if count > len(framed):
            digits = b"%06d" % (first_run + k // len(framed))
            for at in marks[which]:
                message[at : at + 6] = digits
        started = time.perf_counter()
        link.sendall(message)
        kind, body = receive_pdu(link)
        waits.append(time.perf_counter() - started)
        at = body.rfind(b"\0\0\0\x09\x02\0\0\0")
        failed += kind != 4 or at < 0 or body[at + 8 : at + 10] != b"\0\0"
        sent_bytes += sizes[which]
    ended = time.perf_counter()
    link.sendall(struct.pack(">BBII", 5, 0, 4, 0))
    receive_pdu(link)
    link.close()
    answers.put((began, ended, count, sent_bytes, failed, waits))


def post_all(arguments: tuple[str, list[str], int], gate: Any, answers: Any) -> None:
    url, paths, per_request = arguments
    parts = urlsplit(url)
    bodies, boundary = [], "fileroom-bench-7d1f"
    for start in range(0, len(paths), per_request):
        body = bytearray()
        for path in paths[start : start + per_request]:
            body += f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            body += Path(path).read_bytes() + b"\r\n"
        bodies.append(bytes(body) + f"--{boundary}--\r\n".encode())
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    link.connect()
    link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    gate.wait()
    began, failed, waits = time.perf_counter(), 0, []
    for body in bodies:
        started = time.perf_counter()
        link.request("POST", parts.path, body=body, headers=head)
        answer = link.getresponse()
        answer.read()
        failed += answer.status != 200
        waits.append(time.perf_counter() - started)
    ended = time.perf_counter()
    answers.put((began, ended, len(paths), sum(map(len, bodies)), failed, waits))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def together(target: Any, jobs: list[Any]) -> dict[str, float]:
    """Run one process a job from a common start and sum up."""
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(len(jobs)), context.Queue()
    running = [context.Process(target=target, args=(job, gate, answers)) for job in jobs]
    for each in running:
        each.start()
    done = [answers.get(timeout=1800) for _ in running]
    for each in running:
        each.join()
    seconds = max(each[1] for each in done) - min(each[0] for each in done)
    count, size = sum(each[2] for each in done), sum(each[3] for each in done)
    waits = [wait for each in done for wait in each[5]]
    return {
        "count": count,
        "failed": sum(each[4] for each in done),
        "seconds": seconds,
        "per_s": count / seconds,
        "MB_per_s": size / seconds / 1e6,
        "p50_ms": percentile(waits, 0.50) * 1e3,
        "p99_ms": percentile(waits, 0.99) * 1e3,
    }


def dimse(
    host: str,
    port: int,
    called: str,
    connections: int,
    paths: list[str],
    *,
    count: int = 0,
    first_run: int = 200000,
) -> dict[str, float]:
    """Send `count` instances (0: each file once) over `connections` associations."""
    count = count or len(paths)
    share = count // connections
    jobs = [
        (host, port, called, paths[n::connections], share, first_run) for n in range(connections)
    ]
    return together(send_all, jobs)


def stow(
    url: str, connections: int, paths: list[str], *, per_request: int = 50
) -> dict[str, float]:
    return together(
        post_all, [(url, paths[n::connections], per_request) for n in range(connections)]
    )


if __name__ == "__main__":
    door, rest = sys.argv[1], sys.argv[2:]
    if door == "dimse":
        result = dimse(rest[0], int(rest[1]), rest[2], int(rest[3]), rest[5:], count=int(rest[4]))
    else:
        result = stow(rest[0], int(rest[1]), rest[3:], per_request=int(rest[2]))
    print(json.dumps(result))
