"""What the linters cannot see: sizes, names, room headers, citations, who may delete."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "fileroom"
MODULES = sorted(SRC.rglob("*.py"))
UNIT_TESTS = sorted((ROOT / "tests" / "unit").rglob("*.py"))

LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_NAME = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|base|core)(_|$)")
PURE_ROOMS = {"wire", "dicom", "pixels", "policy", "cost"}

# What a pure module does without: time, keys and bytes come in as arguments.
ACTING = {
    *("asyncio", "http", "logging", "multiprocessing", "os", "random", "secrets", "select"),
    *("shutil", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time"),
    *("urllib", "fileroom.clock", "fileroom.disk"),
}

# Remote deletes and the spool's: each after a policy decision (design.md §5, rule 6). The wrapper
# that counts provider calls passes on what it is asked.
MAY_DELETE = {"ingest/dispose.py", "ingest/evict.py", "link/metered.py"}

# Data files change through fileroom.disk, so that crash tests can stop between any two steps.
# Elsewhere: the lock, files that verbs write for their user, the program that stands alone, and
# the probe that asks a provider's file system whether it has hard links.
MAY_TOUCH_FILES = {"disk.py", "node/lock.py", "pack/unpack.py"}
PROBES = {
    *("provider/directory.py: os.link", "provider/directory.py: touch"),
    "provider/directory.py: unlink",
}
MAY_WRITE_MEMBERS = {"web/files.py"}  # of a ZIP that is sent, not of a file
PATH_METHODS = {"mkdir", "rmdir", "touch", "unlink"}  # of Path: without positional arguments
TOUCHING = {
    *("fdatasync", "fsync", "ftruncate", "link", "makedirs", "mkdir", "posix_fallocate"),
    *("pwrite", "pwritev", "remove", "rename", "replace", "rmdir", "truncate", "unlink", "write"),
}

# The outermost frames: a door's, a thread's, the command line's. Elsewhere an error is named;
# but comparing damaged data sets through pydicom may raise anything, and is an answer too.
MAY_CATCH_EVERYTHING = {
    "cli/connection.py",
    "cli/main.py",
    "dicom/same.py",
    "http/app.py",
    "dimse/association.py",
    "node/rounds.py",
    "spool/writer.py",
}


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstring_of(path: Path) -> str:
    return ast.get_docstring(tree_of(path)) or ""


def calls_in(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))


def functions_in(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def rooms() -> list[Path]:
    return sorted({path.parent for path in MODULES if path.parent.parent == SRC})


def test_modules_are_short():
    lengths = {name_of(path): path.read_text().count("\n") for path in MODULES}
    assert {name: count for name, count in lengths.items() if count > LINES_MAX} == {}


def test_functions_fit_a_screen():
    too_long = [
        (name_of(path), function.name)
        for path in MODULES
        for function in functions_in(path)
        if function.end_lineno - function.lineno >= FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_no_module_is_named_for_nothing():
    assert [name_of(path) for path in MODULES if BANNED_NAME.search(path.stem)] == []


def test_every_room_says_what_it_may_touch():
    owners: dict[str, str] = {}
    for room in rooms():
        fields = dict(re.findall(r"^(Owns|Never|Start at): (.+)$", room_docstring(room), re.M))
        assert fields.keys() == {"Owns", "Never", "Start at"}, room.name
        assert (room / fields["Start at"]).is_file(), room.name
        if not fields["Owns"].startswith("nothing"):
            assert owners.setdefault(fields["Owns"], room.name) == room.name


def room_docstring(room: Path) -> str:
    assert (room / "__init__.py").is_file(), f"{room.name} has no __init__.py"
    return docstring_of(room / "__init__.py")


def test_every_module_says_what_it_is_for():
    assert [name_of(path) for path in MODULES if not docstring_of(path)] == []


def test_every_class_and_function_that_others_use_says_what_it_does():
    """A method that a class takes over from a Protocol or a base says it there."""
    silent = [
        f"{name_of(path)}: {node.name}"
        for path in MODULES
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and node.name != "main"
        and len(ast.unparse(node).splitlines()) > 12
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_the_standard_is_cited_to_the_section():
    loose = re.compile(r"\(PS3\.\d+\)")
    assert [name_of(path) for path in MODULES if loose.search(path.read_text())] == []


def test_deleting_is_done_in_two_places_only():
    callers = {
        name_of(path)
        for path in MODULES
        for call in calls_in(path)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"delete_object", "unlink_spooled"}
    }
    assert callers <= MAY_DELETE


def test_data_files_are_changed_through_the_disk_only():
    touched = {
        f"{name_of(path)}: {named}"
        for path in MODULES
        if name_of(path) not in MAY_TOUCH_FILES and not name_of(path).startswith("cli/")
        for call in calls_in(path)
        if (named := touching(call))
    }
    assert touched - PROBES == set()


def touching(call: ast.Call) -> str:
    """The name of a call that changes files past the disk; "" for any other call."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    name, of = call.func.attr, call.func.value
    if isinstance(of, ast.Name) and of.id == "os" and name in TOUCHING:
        return f"os.{name}"
    is_path = name in PATH_METHODS and not call.args
    return name if is_path else ""


def test_files_are_opened_for_writing_by_the_disk_only():
    openers = {
        name_of(path)
        for path in MODULES
        if name_of(path) not in MAY_TOUCH_FILES | MAY_WRITE_MEMBERS
        and not name_of(path).startswith("cli/")
        for call in calls_in(path)
        if opens_for_writing(call)
    }
    assert openers == set()


def opens_for_writing(call: ast.Call) -> bool:
    named = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if named in {"write_text", "write_bytes"}:
        return True
    modes = [*call.args, *(each.value for each in call.keywords if each.arg == "mode")]
    texts = [each.value for each in modes if isinstance(each, ast.Constant)]
    return named == "open" and any(isinstance(t, str) and set(t) & set("wax+") for t in texts)


def pure_modules() -> list[Path]:
    return [
        path
        for path in MODULES
        if name_of(path).split("/")[0] in PURE_ROOMS or docstring_of(path).endswith("Pure.")
    ]


def test_pure_modules_import_nothing_that_acts_or_keeps_time():
    """The import rules name rooms; this holds every module to what its docstring says."""
    importers = {
        f"{name_of(path)}: {imported}"
        for path in pure_modules()
        for node in ast.walk(tree_of(path))
        for imported in imports_of(node)
        if imported.split(".")[0] in ACTING or imported in ACTING
    }
    assert importers == set()


def imports_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def test_pure_modules_use_no_builtin_io():
    callers = [
        name_of(path)
        for path in pure_modules()
        for call in calls_in(path)
        if isinstance(call.func, ast.Name) and call.func.id in {"open", "print", "input"}
    ]
    assert callers == []


def test_only_the_outermost_frames_catch_everything():
    catchers = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.type, ast.Name)
        and node.type.id in {"Exception", "BaseException"}
        and not any(isinstance(each, ast.Raise) for each in ast.walk(node))
    }
    assert catchers <= MAY_CATCH_EVERYTHING


def test_an_ignored_finding_says_which():
    blanket = re.compile(r"# (type: ignore(?!\[)|noqa(?!: [A-Z]))")
    everything = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]
    this = Path(__file__).resolve()
    found = [p.name for p in everything if p != this and blanket.search(p.read_text())]
    assert found == []


def test_unit_tests_do_not_sleep():
    sleep = re.compile(r"time\.sleep\(|asyncio\.sleep\((?!0\))")
    found = [path.relative_to(ROOT) for path in UNIT_TESTS if sleep.search(path.read_text())]
    assert found == []


def test_the_locks_pin_every_package_with_its_hashes_and_name_no_registry():
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert [each.name for each in locks] == ["build.txt", "dev.txt", "run.txt"]
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        assert "index-url" not in text
        pinned = re.findall(r"^\S+==\S+ .*\\$", text, re.M)
        starts = re.findall(r"^[A-Za-z]\S*.*$", text, re.M)
        assert len(pinned) == len(starts) > 0


def test_what_runs_is_locked_as_it_is_tested():
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text()
        return set(re.findall(r"^(\S+==\S+) ", text, re.M))

    assert pins("run.txt") <= pins("dev.txt")
    assert pins("build.txt") <= pins("dev.txt")
