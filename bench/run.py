"""Fileroom and its peers in turn, on the same corpus, in the same run: `make bench`.

Prints one table of ratios (median of each server's rounds over the median of Fileroom's) and
writes every figure to bench/out/results.json. Absolute figures belong to the machine that
printed them; only the ratios are meant to be quoted.

    python bench/run.py [--rounds 3] [--only store,stow,wado,qido,sustained] [--scratch DIR]
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import senders
from pydicom import dcmread
from servers import Running, serving

import corpus

OUT = Path(__file__).parent / "out"
CORPUS = OUT / "corpus"
Figures = dict[str, dict[str, list[float]]]  # operation and figure -> server -> one value a round


def files(part: str, count: int = 0) -> list[str]:
    found = sorted(map(str, (CORPUS / part).iterdir()))
    return found[:count] if count else found


def committed(server: Running, expected: int, *, patience_s: float = 900) -> float:
    """Wait until all of `expected` instances are COMMITTED and return the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < patience_s:
        status: Any = server.status()
        if status["states"].get("COMMITTED", {}).get("instances", 0) >= expected:
            return time.monotonic() - began
        time.sleep(1)  # a status costs the server some CPU too
    raise RuntimeError(f"not all of {expected} instances were COMMITTED after {patience_s} s")


class Bench:
    """The figures of one run."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.figures: Figures = defaultdict(lambda: defaultdict(list))

    def note(self, server: str, operation: str, **values: float) -> None:
        for figure, value in values.items():
            self.figures[f"{operation} · {figure}"][server].append(value)
        shown = "  ".join(f"{figure} {value:,.2f}" for figure, value in values.items())
        print(f"{server:10} {operation:34} {shown}", flush=True)

    def store(self, name: str, connections: int) -> None:
        """C-STORE of 1,000 CT slices, then (Fileroom) the rest of the way to COMMITTED."""
        paths = files("ct")
        with serving(name, self.scratch) as server:
            idle_s = server.cpu_s()
            got = senders.dimse("127.0.0.1", server.dimse_port, "FILEROOM", connections, paths)
            used_s = server.cpu_s() - idle_s
            assert got["failed"] == 0, f"{name} refused {got['failed']} instances"
            operation = f"C-STORE, {connections} association(s)"
            self.note(
                name, operation, per_s=got["per_s"], p50_ms=got["p50_ms"], p99_ms=got["p99_ms"],
                cpu_s_per_1000=used_s, peak_MB=server.peak_pss_bytes / 1e6,
            )  # fmt: skip
            if name == "fileroom":
                waited_s = committed(server, len(paths))
                self.note(
                    name, operation + " to COMMITTED", cpu_s_per_1000=server.cpu_s() - idle_s,
                    waited_s=waited_s, peak_MB=server.peak_pss_bytes / 1e6,
                    catalog_bytes=catalog_bytes(server) / len(paths),
                )  # fmt: skip

    def stow(self, name: str, connections: int) -> None:
        paths = files("ct")
        with serving(name, self.scratch) as server:
            idle_s = server.cpu_s()
            got = senders.stow(server.dicomweb() + "/studies", connections, paths)
            assert got["failed"] == 0, f"{name} failed {got['failed']} requests"
            self.note(
                name, f"STOW, {connections} connection(s)", per_s=got["per_s"],
                cpu_s_per_1000=server.cpu_s() - idle_s, peak_MB=server.peak_pss_bytes / 1e6,
            )  # fmt: skip

    def sustained(self, name: str, count: int) -> None:
        """`count` instances over four associations with every stage running."""
        paths = files("ct")
        with serving(name, self.scratch) as server:
            got = senders.dimse("127.0.0.1", server.dimse_port, "FILEROOM", 4, paths, count=count)
            assert got["failed"] == 0, f"{name} refused {got['failed']} instances"
            self.note(
                name, f"sustained, {count} instances", per_s=got["per_s"], send_s=got["seconds"],
                p99_ms=got["p99_ms"], peak_MB=server.peak_pss_bytes / 1e6,
            )  # fmt: skip
            if name == "fileroom":
                drained_s = committed(server, count)
                self.note(
                    name, f"sustained, {count} drained", drain_s=drained_s,
                    drain_over_send=drained_s / got["seconds"],
                    peak_MB=server.peak_pss_bytes / 1e6,
                    catalog_bytes=catalog_bytes(server) / count,
                    cpu_s_per_1000=server.cpu_s() * 1000 / count,
                )  # fmt: skip

    def wado(self, name: str, seconds: int) -> None:
        paths = files("ct", 400) + files("enh")
        ct = [dcmread(path, stop_before_pixels=True) for path in paths[:400]]
        enhanced = dcmread(paths[-1], stop_before_pixels=True)
        with serving(name, self.scratch) as server:
            senders.dimse("127.0.0.1", server.dimse_port, "FILEROOM", 1, paths)
            if name == "fileroom":
                committed(server, len(paths))
            web = server.dicomweb().removeprefix(f"http://127.0.0.1:{server.http_port}")
            study = f"{web}/studies/{ct[0].StudyInstanceUID}"
            instances = [instance_path(web, each) for each in ct[:200]]
            frames = [f"{instance_path(web, enhanced)}/frames/{k}" for k in range(1, 201, 7)]
            for operation, targets, connections in (
                ("WADO instance, c1", instances, 1),
                ("WADO instance, c4", instances, 4),
                ("WADO study of 200", [study], 1),
                ("WADO study metadata of 200", [study + "/metadata"], 1),
                ("WADO one frame of a CT", [f"{each}/frames/1" for each in instances], 1),
                ("WADO one frame of 200, c1", frames, 1),
                ("WADO one frame of 200, c4", frames, 4),
            ):
                self.http(server, operation, targets, connections, seconds)
            self.note(name, "WADO", peak_MB=server.peak_pss_bytes / 1e6)

    def qido(self, name: str, seconds: int) -> None:
        paths = files("tiny")
        first = dcmread(paths[15000], stop_before_pixels=True)
        month = first.StudyDate[:6]
        with serving(name, self.scratch) as server:
            got = senders.dimse("127.0.0.1", server.dimse_port, "FILEROOM", 4, paths)
            self.note(name, "C-STORE of 30,000 tiny", per_s=got["per_s"])
            if name == "fileroom":
                committed(server, len(paths))
            web = server.dicomweb().removeprefix(f"http://127.0.0.1:{server.http_port}")
            for operation, query in (
                ("PatientID exact", f"/studies?PatientID={first.PatientID}"),
                ("AccessionNumber exact", f"/studies?AccessionNumber={first.AccessionNumber}"),
                ("StudyInstanceUID exact", f"/studies?StudyInstanceUID={first.StudyInstanceUID}"),
                ("PatientName Smith*", "/studies?PatientName=Smith*&limit=100"),
                ("PatientName *anna*", "/studies?PatientName=*anna*&limit=100"),
                ("StudyDate of a month", f"/studies?StudyDate={month}01-{month}31"),
                (
                    "Modality and StudyDate",
                    f"/studies?ModalitiesInStudy=CT&StudyDate={month}01-{month}31",
                ),
                ("100 studies", "/studies?limit=100"),
                ("25 studies from 2,000", "/studies?limit=25&offset=2000"),
                ("series of a study", f"/studies/{first.StudyInstanceUID}/series"),
                ("instances of a study", f"/studies/{first.StudyInstanceUID}/instances"),
            ):
                self.http(server, "QIDO " + operation, [web + query], 1, seconds)
            self.note(name, "QIDO", peak_MB=server.peak_pss_bytes / 1e6)

    def http(
        self, server: Running, operation: str, paths: list[str], connections: int, seconds: int
    ) -> None:
        per_s, failed = wrk(server.http_port, paths, connections, seconds, self.scratch)
        assert failed == 0, f"{server.name}: {failed} failed answers to {operation}"
        self.note(server.name, operation, per_s=per_s)


def instance_path(web: str, d: Any) -> str:
    return (
        f"{web}/studies/{d.StudyInstanceUID}/series/{d.SeriesInstanceUID}"
        f"/instances/{d.SOPInstanceUID}"
    )


def catalog_bytes(server: Running) -> int:
    """Everything of the catalog: the file, its write-ahead log and shared memory."""
    return sum(path.stat().st_size for path in (server.folder / "data").glob("catalog*"))


def wrk(
    port: int, paths: list[str], connections: int, seconds: int, scratch: Path
) -> tuple[float, int]:
    """Requests a second over `connections` kept-alive connections, and answers over 399."""
    script = scratch / "paths.lua"
    listed = ",\n".join(json.dumps(path) for path in paths)
    script.write_text(
        f"local paths = {{{listed}}}\nlocal n = 0\n"
        "request = function()\n  n = n % #paths + 1\n  return wrk.format('GET', paths[n])\nend\n"
    )
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s",
         "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    assert rate, out
    return float(rate[1]), int(failed[1]) if failed else 0


def table(figures: Figures) -> str:
    """Markdown: Fileroom's median, and each peer's median with the ratio between them."""
    peers = ["orthanc", "storescp", "pynetdicom"]
    lines = ["| figure | fileroom | " + " | ".join(peers) + " |", "|---" * (len(peers) + 2) + "|"]
    for figure, by_server in figures.items():
        ours = by_server.get("fileroom")
        cells = [f"{statistics.median(ours):,.2f}" if ours else "–"]
        for peer in peers:
            theirs = by_server.get(peer)
            if not theirs:
                cells.append("–")
                continue
            median = statistics.median(theirs)
            ratio = statistics.median(ours) / median if ours and median else float("nan")
            cells.append(f"{median:,.2f} (ours {ratio:.2f}×)")
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# What we set ourselves: figure, "at least" or "at most", bound; "×" bounds are ratios to Orthanc.
ONE, FOUR = "C-STORE, 1 association(s)", "C-STORE, 4 association(s)"
BARS: list[tuple[str, str, float, bool]] = [
    (f"{ONE} · per_s", "at least", 2, True),
    (f"{FOUR} · per_s", "at least", 2, True),
    ("STOW, 1 connection(s) · per_s", "at least", 3, True),
    ("STOW, 4 connection(s) · per_s", "at least", 3, True),
    ("WADO instance, c1 · per_s", "at least", 1.5, True),
    ("WADO instance, c4 · per_s", "at least", 1.5, True),
    ("WADO study of 200 · per_s", "at least", 1, True),
    ("WADO study metadata of 200 · per_s", "at least", 5, True),
    ("WADO one frame of 200, c1 · per_s", "at least", 50, True),
    ("WADO one frame of 200, c4 · per_s", "at least", 50, True),
    (f"{ONE} · cpu_s_per_1000", "at most", 0.5, True),
    (f"{FOUR} · cpu_s_per_1000", "at most", 0.5, True),
    (f"{ONE} to COMMITTED · cpu_s_per_1000", "at most", 1.5, True),
    (f"{FOUR} to COMMITTED · cpu_s_per_1000", "at most", 1.5, True),
    ("sustained, {} instances · per_s", "at least", 1, True),
    ("sustained, {} drained · drain_over_send", "at most", 2, False),
    ("sustained, {} drained · catalog_bytes", "at most", 80, False),
    ("sustained, {} drained · peak_MB", "at most", 300, False),
]


def bars(figures: Figures, sustained_count: int) -> str:
    """Markdown: each bar, what was reached, and whether that is enough."""
    wanted = [(each[0].format(sustained_count), *each[1:]) for each in BARS]
    wanted += [(each, "at least", 10, True) for each in figures if is_search(each)]
    lines = ["| figure | bar | reached | |", "|---|---|---|---|"]
    for figure, direction, bound, relative in wanted:
        ours = figures.get(figure, {}).get("fileroom")
        of_peer = figure.replace(" to COMMITTED", "")  # the peer has no further to go
        theirs = figures.get(of_peer, {}).get("orthanc")
        if not ours or (relative and not theirs):
            continue
        reached = statistics.median(ours)
        if relative and theirs:
            reached /= statistics.median(theirs)
        met = reached >= bound if direction == "at least" else reached <= bound
        sign = "×" if relative else ""
        verdict = "met" if met else "**missed**"
        lines.append(
            f"| {figure} | {direction} {bound:g}{sign} | {reached:.2f}{sign} | {verdict} |"
        )
    return "\n".join(lines)


def is_search(figure: str) -> bool:
    return figure.startswith("QIDO ") and figure.endswith("per_s")


def missing() -> list[str]:
    return [each for each in ("Orthanc", "storescp", "wrk") if shutil.which(each) is None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="store,stow,wado,qido,sustained")
    parser.add_argument("--scratch", type=Path, default=OUT / "scratch")
    parser.add_argument("--seconds", type=int, default=4, help="length of one HTTP measurement")
    parser.add_argument("--sustained-count", type=int, default=20000)
    parser.add_argument("--servers", default="fileroom,orthanc,storescp,pynetdicom")
    asked = parser.parse_args()
    if missing():
        raise SystemExit(
            f"missing on this machine: {', '.join(missing())} (apt: orthanc dcmtk wrk)"
        )
    asked.scratch.mkdir(parents=True, exist_ok=True)
    corpus.make(CORPUS)
    bench, wanted = Bench(asked.scratch), set(asked.only.split(","))
    servers = asked.servers.split(",")
    archives = [each for each in servers if each in {"fileroom", "orthanc"}]
    for name in servers:
        with serving(name, asked.scratch):
            pass  # once before anything counts: what is compiled and cached is so for all rounds
    for _ in range(asked.rounds):
        for connections in (1, 4):
            for name in servers:
                if "store" in wanted:
                    bench.store(name, connections)
            for name in archives:
                if "stow" in wanted:
                    bench.stow(name, connections)
        for name in archives:
            if "wado" in wanted:
                bench.wado(name, asked.seconds)
            if "qido" in wanted:
                bench.qido(name, asked.seconds)
            if "sustained" in wanted:
                bench.sustained(name, asked.sustained_count)
    printed = bars(bench.figures, asked.sustained_count) + "\n\n" + table(bench.figures)
    print(f"\n{platform.platform()}, Python {platform.python_version()}, {asked.rounds} rounds\n")
    print(printed)
    (OUT / "results.json").write_text(json.dumps(bench.figures, indent=1))
    (OUT / "results.md").write_text(printed + "\n")


if __name__ == "__main__":
    main()
