"""The `fileroom` command: finds the verb, runs it, turns its errors into an exit code.

A verb's module is imported when the verb runs, so that `--help` and the quick verbs are quick.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from cyclopts import App, CycloptsError

from fileroom import __version__
from fileroom.cli.exit_codes import ExitCode, exit_code_of
from fileroom.cli.output import complain, tell
from fileroom.errors import FileroomError


class Verb(NamedTuple):
    """One line of docs/verbs.md."""

    name: str
    where: str  # module:function
    does: str
    example: str


VERBS = (
    Verb(
        "init",
        "fileroom.cli.beginning:init",
        "Make the data folder, its keys and its settings file.",
        "fileroom init --data /srv/fileroom --site north --passphrase-file /root/passphrase",
    ),
    Verb(
        "serve",
        "fileroom.cli.serving:serve",
        "Run the node until SIGTERM or Ctrl-C.",
        "fileroom serve --data /srv/fileroom --dimse 127.0.0.1:11112 --http 127.0.0.1:8642",
    ),
    Verb(
        "status",
        "fileroom.cli.looking:status",
        "Show what is where: instances and bytes per state, disk left, warnings.",
        "fileroom status --json",
    ),
    Verb(
        "import",
        "fileroom.cli.importing:import_paths",
        "Store folders, ZIP files and DICOMDIR media.",
        "fileroom import /media/cdrom old-studies.zip --report import-report.json",
    ),
    Verb(
        "get",
        "fileroom.cli.getting:get",
        "Write a study's DICOM files into a folder.",
        "fileroom get 1.2.826.0.1.3680043.8.498.1 --output study",
    ),
    Verb(
        "study",
        "fileroom.cli.studying:study",
        "Say whether all of a study has come.",
        "fileroom study 1.2.826.0.1.3680043.8.498.1 --json",
    ),
    Verb(
        "unpack",
        "fileroom.cli.opening:unpack",
        "Open a pack with its key, without a node: plain DICOM files.",
        "fileroom unpack packs/KEY/PACK --keyring keyring --passphrase-file FILE --output files",
    ),
    Verb(
        "rebuild",
        "fileroom.cli.rebuilding:rebuild",
        "Make the catalog again from packs, spool and ledger.",
        "fileroom rebuild --data /srv/fileroom",
    ),
    Verb(
        "doctor",
        "fileroom.cli.looking:doctor",
        "Say what is wrong with this machine for this archive.",
        "fileroom doctor --config /etc/fileroom/fileroom.toml",
    ),
    Verb(
        "peer add",
        "fileroom.cli.peers:add",
        "Write another archive or a modality into the settings file.",
        "fileroom peer add pacs --ae-title PACS --address 192.0.2.7:104",
    ),
    Verb(
        "peer test",
        "fileroom.cli.peers:try_peer",
        "Ask a peer for a C-ECHO.",
        "fileroom peer test pacs",
    ),
    Verb(
        "echo",
        "fileroom.cli.peers:try_peer",
        "Ask a peer for a C-ECHO; the same as `peer test`.",
        "fileroom echo PACS",
    ),
    Verb(
        "peer list",
        "fileroom.cli.peers:list_peers",
        "List the peers and our AE titles, or with --refused the callers that were turned away.",
        "fileroom peer list --refused",
    ),
    Verb(
        "forward list",
        "fileroom.cli.forwarding:list_forwards",
        "List what waits for other archives, and what they refused.",
        "fileroom forward list pacs",
    ),
    Verb(
        "forward retry",
        "fileroom.cli.forwarding:retry",
        "Try a destination now, with what it refused, or with all of a study.",
        "fileroom forward retry pacs --study 1.2.826.0.1.3680043.8.498.1 --everything",
    ),
    Verb(
        "forward pause",
        "fileroom.cli.forwarding:pause",
        "Send nothing to a destination until it is resumed.",
        "fileroom forward pause pacs",
    ),
    Verb(
        "forward resume",
        "fileroom.cli.forwarding:resume",
        "Go on sending to a destination.",
        "fileroom forward resume pacs",
    ),
    Verb(
        "conflicts list",
        "fileroom.cli.conflicts:list_conflicts",
        "List UIDs of several data sets, and studies that say two patients.",
        "fileroom conflicts list --settled",
    ),
    Verb(
        "conflicts show",
        "fileroom.cli.conflicts:show",
        "Show the data sets of one UID, who sent them and where they differ.",
        "fileroom conflicts show 1.2.826.0.1.3680043.8.498.1 --values",
    ),
    Verb(
        "conflicts settle",
        "fileroom.cli.conflicts:settle",
        "Decide which of the data sets of one UID is served.",
        "fileroom conflicts settle 1.2.826.0.1.3680043.8.498.1 --serve 2 --reason 'resent whole'",
    ),
    Verb(
        "reject",
        "fileroom.cli.rejecting:reject",
        "Hide a study, a series or instances; nothing is deleted.",
        "fileroom reject 1.2.826.0.1.3680043.8.498.1 --reason 113001 --note 'wrong side'",
    ),
    Verb(
        "restore",
        "fileroom.cli.rejecting:restore",
        "Show again what was rejected.",
        "fileroom restore 1.2.826.0.1.3680043.8.498.1",
    ),
    Verb(
        "rejected",
        "fileroom.cli.rejecting:rejected",
        "List what is hidden: since when, by whom, why.",
        "fileroom rejected --json",
    ),
    Verb(
        "viewer install",
        "fileroom.cli.viewer:install",
        "Unpack OHIF, the viewer at /viewer/, from its npm package.",
        "fileroom viewer install ohif-app-3.13.2.tgz",
    ),
    Verb(
        "demo",
        "fileroom.cli.demo:demo",
        "Run a node with real studies in it, to try things on.",
        "fileroom demo --data demo-data --exit",
    ),
)
GROUPS = {
    "peer": "Other archives and modalities.",
    "forward": "What goes on to other archives by the rules of the settings.",
    "viewer": "OHIF, the viewer at /viewer/.",
    "conflicts": "Different data sets under one UID, studies of two patients.",
}


def application() -> App:
    """The command line with every verb; none of their modules is imported yet."""
    app = App(
        name="fileroom",
        help="A DICOM archive whose packs, keys and ledger the hospital owns.",
        help_epilogue="Exit codes: docs/exit-codes.md. Settings: docs/settings.md.",
        version=__version__,
        suppress_keyboard_interrupt=False,  # `main` gives it its exit code
    )
    groups = {name: App(name=name, help=text) for name, text in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for verb in VERBS:
        parent, _, name = verb.name.rpartition(" ")
        (groups[parent] if parent else app).command(
            verb.where, name=name, help=verb.does, help_epilogue=f"Example: {verb.example}"
        )
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = application()(
            words, result_action="return_value", exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        return _fail(words, ExitCode.USAGE, f"{error} See `fileroom --help`.")
    except FileroomError as error:
        return _fail(words, exit_code_of(error), str(error))
    except KeyboardInterrupt:
        return _fail(words, ExitCode.INTERRUPTED, "stopped")
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        return ExitCode.OK
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(words, ExitCode.UNAVAILABLE, f"{error.strerror or error}{where}")
    except Exception as error:  # noqa: BLE001 - the outermost frame: no traceback with values
        from fileroom.node.logs import error_of

        return _fail(words, ExitCode.BUG, f"a mistake of ours: {error_of(error)}")
    return int(code) if code is not None else ExitCode.OK


def _fail(words: Sequence[str], code: ExitCode, text: str) -> int:
    if "--json" in words:
        tell({"error": text, "exit_code": int(code), "meaning": code.meaning}, (), as_json=True)
    else:
        complain(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
