"""`fileroom unpack`: opens a pack with a key, without a node."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import complain, tell
from fileroom.errors import IntegrityError, RefusedError


def unpack(
    pack: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="Where the files go.")],
    key: Annotated[
        str | None, Parameter(help="The study key: 64 hexadecimal digits, or a file with them.")
    ] = None,
    keyring: Annotated[
        Path | None,
        Parameter(help="A copy of a bucket's keyring/; the data folder's own if not given."),
    ] = None,
    passphrase_file: Annotated[
        Path | None, Parameter(help="The passphrase; the settings' own if not given.")
    ] = None,
    recovery_key: Annotated[
        str | None, Parameter(help="The recovery key instead: digits, or a file with them.")
    ] = None,
    study_key_id: Annotated[
        str | None, Parameter(help="If the pack does not lie in the folder of its study key.")
    ] = None,
    shared: Shared = SHARED,
) -> None:
    """Open a pack with its key, without a node, and write its DICOM files.

    The file unpack.py of this package does the same with Python and `cryptography` alone.
    """
    from fileroom.pack import unpack as stand_alone

    if not pack.is_file():
        raise NotFoundError(f"there is no file {pack}")
    if key is None and keyring is None:
        settings = shared.settings()
        keyring = settings.data_directory / "keyring"
        if not keyring.is_dir():
            raise NotFoundError(f"there is no {keyring}; give --key, --keyring or --data")
        own = settings.keys.passphrase_file or settings.data_directory / "passphrase"
        if recovery_key is None and passphrase_file is None and Path(own).is_file():
            passphrase_file = Path(own)
    if key is None and passphrase_file is None and recovery_key is None and not sys.stdin.isatty():
        raise RefusedError("the keyring needs --passphrase-file or --recovery-key")
    given = Namespace(
        pack=pack,
        key=key,
        keyring=keyring,
        passphrase_file=passphrase_file,
        recovery_key=recovery_key,
        study_key_id=study_key_id,
    )
    try:
        count, notes = stand_alone.unpack(pack, stand_alone.key_of(given), output)
    except stand_alone.Damaged as error:
        raise IntegrityError(str(error)) from error
    except stand_alone.Refused as error:
        raise RefusedError(str(error)) from error
    for note in notes:
        complain(note)
    document = {"files": count, "output": str(output), "notes": notes}
    tell(document, [f"{count} DICOM files written and checked, in {output}"], as_json=shared.json)
