"""`fileroom init`, and what `serve` does with a data folder that is not there yet."""

import getpass
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from fileroom.cli.options import SHARED, Shared, split_address
from fileroom.cli.output import complain, tell
from fileroom.cli.settings_file import text_of, write_new
from fileroom.errors import RefusedError
from fileroom.node.config import (
    FILE_NAME,
    PASSPHRASE_NAME,
    ConfigError,
    Settings,
    load,
    read_passphrase,
)


def init(
    *,
    site: Annotated[str | None, Parameter(help="Name of the site, a-z, 0-9 and '-'.")] = None,
    ae_title: Annotated[str | None, Parameter(help="Our AE title.")] = None,
    dimse: Annotated[str | None, Parameter(help="HOST:PORT of the DICOM door.")] = None,
    http: Annotated[str | None, Parameter(help="HOST:PORT of the web door.")] = None,
    provider: Annotated[
        Path | None, Parameter(help="Folder for the copies, on another disk than the data.")
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        Parameter(help="The passphrase; a new one is written there if there is no such file."),
    ] = None,
    yes: Annotated[
        bool,
        Parameter(name=["--yes", "-y"], help="Ask nothing.", negative="", show_default=False),
    ] = False,
    shared: Shared = SHARED,
) -> None:
    """Make the data folder, its keys and its settings file.

    On a terminal it asks for what no flag says. The recovery key is shown once: it opens the
    archive when the passphrase is lost, so keep it where neither the data nor the passphrase is.
    """
    asks = sys.stdin.isatty() and not shared.json and not yes
    flags = {
        "site.name": site or (asks and _ask("Name of the site", "site")),
        "data.directory": str(shared.data)
        if shared.data
        else (asks and not shared.config and _ask("Data folder", Settings().data.directory)),
        "dimse.ae_title": ae_title or (asks and _ask("AE title", "FILEROOM")),
        "keys.passphrase_file": str(passphrase_file) if passphrase_file else None,
    }
    flags |= _address("dimse", "DICOM", dimse, "127.0.0.1:11112", asks=asks)
    flags |= _address("http", "web", http, "127.0.0.1:8642", asks=asks)
    overrides = {name: text for name, text in flags.items() if isinstance(text, str)}
    named = shared.config or (shared.data / FILE_NAME if shared.data else None)
    settings = load(file=str(named) if named and named.exists() else None, overrides=overrides)
    if provider is not None:
        copies = {"kind": "directory", "path": str(provider.absolute())}
        settings = _with_provider(settings, copies)
    if is_initialised(settings):
        raise RefusedError(f"{settings.data_directory} is a data folder already")
    _refuse_archives(settings)
    passphrase = _new_passphrase(settings, asks=asks)
    path = shared.config or settings.data_directory / FILE_NAME
    with _settings_written(settings, path):
        report = begin(settings, passphrase=passphrase)
    document = {
        **report,
        "data": str(settings.data_directory),
        "settings_file": str(path),
        "passphrase_file": str(_passphrase_path(settings)),
    }
    lines = [f"{name.replace('_', ' '):18}{value}" for name, value in document.items() if value]
    lines += ["", *_what_next(settings, path)]
    tell(document, lines, as_json=shared.json)


def _address(
    section: str, door: str, given: str | None, default: str, *, asks: bool
) -> dict[str, str | bool | None]:
    address = given or (asks and _ask(f"HOST:PORT of the {door} door", default))
    if not address:
        return {}
    host, port = split_address(address, flag=f"--{section}")
    return {f"{section}.host": host, f"{section}.port": port}


@contextmanager
def _settings_written(settings: Settings, path: Path) -> Iterator[None]:
    """Write the settings file, if there is none, before the keys are made: when it cannot be
    written, no recovery key is lost. What fails afterwards takes the file away again."""
    if path.exists():
        complain(f"{path} is there already and stays as it is")
        yield
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_new(path, text_of(settings, relative_to=path.absolute().parent))
    try:
        yield
    except BaseException:
        path.unlink()
        raise


def _what_next(settings: Settings, path: Path) -> Iterator[str]:
    yield "Write the recovery key down and keep it apart: nothing shows it again."
    if settings.data_directory in _passphrase_path(settings).parents:
        yield "The passphrase lies beside what it opens; [keys] passphrase_file says where else."
    if not settings.providers:
        yield "The copies lie on the same disk; a [providers.NAME] table names another one."
    yield f"Next: fileroom serve --config {path}"


def is_initialised(settings: Settings) -> bool:
    """Whether the data folder has keys, so that it has been initialised once."""
    return (settings.data_directory / "keyring").is_dir()


def begin(settings: Settings, *, passphrase: str | None = None) -> dict[str, Any]:
    """Make the data folder and its keys; return what to tell, with the recovery key.

    Without a passphrase in the settings' places one is made and written into the data folder.

    Raises:
        RefusedError: a provider holds an archive already, which new keys could never open.
    """
    from fileroom.node.assemble import initialise

    _refuse_archives(settings)
    passphrase = passphrase or read_passphrase(settings) or _write_passphrase(settings, None)
    report: dict[str, Any] = msgspec.to_builtins(initialise(settings, passphrase=passphrase))
    return report


def _new_passphrase(settings: Settings, *, asks: bool) -> str:
    path = _passphrase_path(settings)
    if path.is_file():
        return read_passphrase(settings) or ""
    typed = None
    if asks:
        typed = getpass.getpass(f"Passphrase, to be kept in {path} (empty: a random one): ")
        if typed and typed != getpass.getpass("Again: "):
            raise ConfigError(["the two passphrases differ"])
    return _write_passphrase(settings, typed or None)


def _write_passphrase(settings: Settings, passphrase: str | None) -> str:
    path = _passphrase_path(settings)
    chosen = passphrase or secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new(path, chosen + "\n")
    except OSError as error:
        raise ConfigError([f"cannot write the passphrase to {path}: {error.strerror}"]) from error
    return chosen


def _refuse_archives(settings: Settings) -> None:
    for name, each in settings.providers_in_use.items():
        if (Path(each.path) / "keyring").is_dir():
            told = f"provider {name} holds an archive, and its keys are not in this data folder"
            raise RefusedError(f"{told}; docs/operations.md says how they are brought back")


def _passphrase_path(settings: Settings) -> Path:
    return Path(settings.keys.passphrase_file or settings.data_directory / PASSPHRASE_NAME)


def _with_provider(settings: Settings, copies: dict[str, str]) -> Settings:
    whole = msgspec.to_builtins(settings)
    return msgspec.convert({**whole, "providers": {"copies": copies}}, Settings)


def _ask(question: str, default: str) -> str:
    return input(f"{question} [{default}]: ").strip() or default
