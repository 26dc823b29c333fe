"""Every setting, verb and exit code is documented, links lead somewhere, pages say what is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import VERBS, main
from fileroom.cli.reference import FILES, PAGES, rewritten
from fileroom.node.config import sections
from fileroom.node.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES_OF_TEXT = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_those_of_the_code(name):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == rewritten(page, PAGES[name]()), "run `make docs`"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_made_from_the_code_is_that_of_the_code(name):
    assert (ROOT / "docs" / name).read_bytes() == FILES[name](), "run `make docs`"


def test_every_test_that_a_page_names_is_there():
    tests = "".join(each.read_text(encoding="utf-8") for each in (ROOT / "tests").rglob("*.py"))
    for page in PAGES_OF_TEXT:
        named = re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
        missing = [name for name in named if f"def {name}(" not in tests]
        assert missing == [], page.name


def test_every_setting_stands_in_its_page_with_its_variable():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for table, struct in sections():
        assert f"### [{table}]" in page
        for key in struct.__struct_fields__:
            assert f"`FILEROOM_{table.replace('.', '_')}_{key}`".upper().replace("`", "") in page


def test_every_table_of_the_settings_has_a_struct():
    tables = {table.removesuffix(".NAME") for table, _ in sections()}
    assert tables == set(Settings.__struct_fields__) - {"source"}


def test_every_exit_code_stands_in_the_table_and_none_twice():
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", page, re.M)
    assert rows == [(str(int(code)), code.name) for code in ExitCode]
    assert len({number for number, _ in rows}) == len(rows)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb_shows_what_it_does_an_example_and_json(verb, capsys):
    assert main([*verb.name.split(), "--help"]) == ExitCode.OK
    # The help is wrapped to the terminal; compare without its line breaks and frames.
    shown = re.sub(r"[\s│]+", "", capsys.readouterr().out)
    assert "Example:" + re.sub(r"\s+", "", verb.example) in shown
    assert "--json" in shown


def test_the_first_page_names_two_commands_that_the_makefile_has():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.M)


@pytest.mark.parametrize("page", PAGES_OF_TEXT, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_decision_stands_in_the_list():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(each.name for each in folder.glob("[0-9]*.md"))


def test_every_make_target_says_what_it_is_for():
    told = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), "help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in ("demo", "test", "test-all", "lint", "docs", "bench", "fuzz"):
        assert re.search(rf"^{target} +\S", told, re.M), target


def test_help_imports_none_of_the_rooms():
    """`fileroom --help` must be quick: no pydicom, no web server, no cryptography."""
    code = "import sys, fileroom.cli.main as m; m.main(['--help']); print(sorted(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    loaded = told.stdout.splitlines()[-1]
    for heavy in ("pydicom", "uvicorn", "cryptography", "apsw", "numpy", "fileroom.node.assemble"):
        assert f"'{heavy}'" not in loaded
