"""Reads the settings: defaults, then one TOML file, then FILEROOM_… variables, then flags.

A later place wins. A key that no struct of `settings` has is refused with the nearest one that
exists, wherever it stands; all such mistakes are told at once.
"""

import difflib
import errno
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fileroom.errors import RefusedError
from fileroom.node.settings import (
    LIVE,
    PeerSettings,
    ProviderSettings,
    Section,
    Settings,
    Source,
)

__all__ = [
    "ConfigError",
    "PeerSettings",
    "ProviderSettings",
    "Reloaded",
    "Settings",
    "Source",
    "find_file",
    "load",
    "read_passphrase",
    "reload",
    "site_zone",
]

PREFIX = "FILEROOM_"
FILE_VARIABLE = "FILEROOM_CONFIG"
FILE_NAME = "fileroom.toml"
SYSTEM_FILE = Path("/etc/fileroom") / FILE_NAME
FILE_SIZE_BYTES_MAX = 1 << 20
PASSPHRASE_NAME = "passphrase"  # noqa: S105 - the name of a file in the data folder
Raw = dict[str, Any]


class ConfigError(RefusedError):
    """The settings cannot be used. `problems` has one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a second reading of the same places brought.

    Attributes:
        settings: those in force from now on: the new value of every live key, the old of others.
        changed: dotted names of the live keys that have another value now.
        restart: dotted names of the keys whose new value waits for a restart.
    """

    settings: Settings
    changed: tuple[str, ...]
    restart: tuple[str, ...]


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Every table of the file with its struct, in order; a named one as `providers.NAME`."""
    for name, hint in get_type_hints(Settings).items():
        if name in Settings.NAMED:
            yield f"{name}.NAME", Settings.NAMED[name]
        elif isinstance(hint, type) and issubclass(hint, Section):
            yield name, hint


def find_file(
    *, config: str | None, data: str | None, environment: Mapping[str, str]
) -> str | None:
    """The file to read: `config` or $FILEROOM_CONFIG; with `data` the one inside that folder;
    else ./fileroom.toml, the system's, or the one in the default data folder. None: there is none.
    """
    named = config or environment.get(FILE_VARIABLE)
    if named:
        return named
    if data is not None:
        candidates = [Path(data) / FILE_NAME]
    else:
        default = Path(Settings().data.directory) / FILE_NAME
        candidates = [Path(FILE_NAME), SYSTEM_FILE, default]
    return next((str(each) for each in candidates if each.is_file()), None)


def load(
    *,
    file: str | None = None,
    overrides: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check the settings.

    Args:
        file: a TOML file; None for none.
        overrides: dotted key to text, such as {"dimse.port": "0"}: the flags.
        environment: variables; None for the process's own.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong.
    """
    variables = os.environ if environment is None else environment
    source = Source(
        file=str(Path(file).absolute()) if file else None,
        overrides=dict(overrides or {}),
        environment={name: text for name, text in variables.items() if name.startswith(PREFIX)},
    )
    return _read(source)


def reload(settings: Settings) -> Reloaded:
    """Read the places of `settings` again. Raises ConfigError; then the old ones stay in force."""
    fresh = _read(settings.source)
    before, after = msgspec.to_builtins(settings), msgspec.to_builtins(fresh)
    merged = dict(before)
    changed: list[str] = []
    restart: list[str] = []
    for table, struct in sections():
        table, is_named = table.removesuffix(".NAME"), table.endswith(".NAME")
        if is_named:
            if before[table] != after[table]:
                live = table in Settings.LIVE_NAMED
                (changed if live else restart).append(table)
                merged[table] = after[table] if live else before[table]
            continue
        merged[table] = dict(before[table])
        for key in struct.__struct_fields__:
            if before[table][key] == after[table][key]:
                continue
            live = is_live(struct, key)
            (changed if live else restart).append(f"{table}.{key}")
            if live:
                merged[table][key] = after[table][key]
    return Reloaded(
        settings=msgspec.convert(merged, Settings), changed=tuple(changed), restart=tuple(restart)
    )


def is_live(struct: type[Section], key: str) -> bool:
    """Whether a running node takes over this key at SIGHUP."""
    return meta_of(struct, key).extra == LIVE


def meta_of(struct: type[Section], key: str) -> msgspec.Meta:
    """The description and limits of one key."""
    hint = get_type_hints(struct, include_extras=True)[key]
    found: msgspec.Meta = hint.__metadata__[0]
    return found


def read_passphrase(
    settings: Settings, *, environment: Mapping[str, str] | None = None
) -> str | None:
    """The passphrase that opens the site key, from the first of: the configured file, the systemd
    credential, the file `passphrase` in the data folder. None if none of them is there.

    Raises:
        ConfigError: the configured file is not there, or one that is cannot be read or is empty.
    """
    variables = os.environ if environment is None else environment
    configured = settings.keys.passphrase_file
    if configured:
        text = _first_line(Path(configured))
        if text is None:
            told = os.strerror(errno.ENOENT)
            raise ConfigError([f"[keys] passphrase_file: {told}: {configured}"])
        return text
    credentials = variables.get("CREDENTIALS_DIRECTORY")
    places = [Path(credentials) / settings.keys.credential] if credentials else []
    places.append(settings.data_directory / PASSPHRASE_NAME)
    return next((text for each in places if (text := _first_line(each)) is not None), None)


def _first_line(path: Path) -> str | None:
    """The passphrase in a file; None if there is no such file."""
    try:
        with path.open(encoding="utf-8") as lines:
            text = lines.readline(4096).rstrip("\r\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError([f"the passphrase file: {error.strerror}: {path}"]) from error
    except UnicodeDecodeError:
        raise ConfigError([f"the passphrase file {path} is not UTF-8"]) from None
    if not text:
        raise ConfigError([f"the passphrase file {path} is empty"])
    return text


def _read(source: Source) -> Settings:
    raw = _read_file(Path(source.file)) if source.file else {}
    problems = list(_unknown_keys(raw, source.file or ""))
    folder = Path(source.file).parent if source.file else Path.cwd()
    if not problems:
        _make_absolute(raw, folder)
    layer = _Layer(raw, problems)
    for name, text in sorted(source.environment.items()):
        if name != FILE_VARIABLE:
            layer.set_variable(name, text)
    for dotted, text in source.overrides.items():
        layer.set_dotted(dotted, text)
    if problems:
        raise ConfigError(problems)
    raw.setdefault("data", {}).setdefault("directory", Settings().data.directory)
    _make_absolute(raw, Path.cwd())
    tables = _checked(raw, problems)
    if problems:
        raise ConfigError(problems)
    try:
        settings = Settings(**tables, source=source)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    site_zone(settings)
    return settings


def site_zone(settings: Settings) -> ZoneInfo | None:
    """The time zone that `site.timezone` names, from this machine's database; None: none named.

    Raises:
        ConfigError: there is no such zone.
    """
    name = settings.site.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        told = (
            f"[site]: timezone must be a zone of the IANA database, such as Europe/Berlin: {name}"
        )
        raise ConfigError([told]) from None


def _checked(raw: Raw, problems: list[str]) -> Raw:
    """The structs of all tables; one sentence in `problems` for each that is wrong."""
    tables: Raw = {}
    for table, struct in sections():
        name, _, named = table.partition(".")
        if named:
            each = raw.get(name, {}).items()
            tables[name] = {n: _convert(f"[{name}.{n}]", struct, v, problems) for n, v in each}
        else:
            tables[name] = _convert(f"[{name}]", struct, raw.get(name, {}), problems)
    return tables


def _convert(title: str, struct: type[Section], value: Raw, problems: list[str]) -> Section | None:
    try:
        return msgspec.convert(value, struct)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`").partition("[")[0]
        where = f"{title} {key}" if key else title
        problems.append(f"{where}: {what}{_choices(struct, key)}")
        return None


def _read_file(path: Path) -> Raw:
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(FILE_SIZE_BYTES_MAX).decode())
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not TOML: {error}"]) from error


def _unknown_keys(raw: Raw, file: str) -> Iterator[str]:
    """One sentence for each table or key that does not exist, or value where a table is due."""
    known = {table.partition(".")[0]: (table, struct) for table, struct in sections()}
    for name, value in raw.items():
        if name not in known:
            yield f"{file}: unknown table [{name}]{_nearest(name, known)}"
            continue
        table, struct = known[name]
        named = table.endswith(".NAME")
        tables = value.items() if named and isinstance(value, dict) else [("", value)]
        for each, keys in tables:
            title = f"[{name}.{each}]" if named else f"[{name}]"
            if not isinstance(keys, dict):
                yield f"{file}: {title} must be a table"
                continue
            for key in keys:
                if key not in struct.__struct_fields__:
                    close = _nearest(key, struct.__struct_fields__)
                    yield f"{file}: {title} has no key {key!r}{close}"


def _nearest(wrong: str, known: Mapping[str, Any] | tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _make_absolute(raw: Raw, folder: Path) -> None:
    """Turn the relative paths that stand in `raw` into absolute ones below `folder`."""
    data, keys = raw.get("data", {}), raw.get("keys", {})
    named = [each for each in raw.get("providers", {}).values() if isinstance(each, dict)]
    web = [each for each in raw.get("webpeers", {}).values() if isinstance(each, dict)]
    for table, key in [
        (data, "directory"),
        (keys, "passphrase_file"),
        *((p, "path") for p in named),
        *((p, key) for p in web for key in ("authorization_file", "ca_file")),
    ]:
        if isinstance(table.get(key), str) and table[key]:
            table[key] = os.path.normpath(folder / table[key])


def _choices(struct: type[Section], key: str) -> str:
    """The values of a key that has only some; nothing for other keys."""
    hint = get_type_hints(struct).get(key)
    if get_origin(hint) is list:
        (hint,) = get_args(hint)
    return f"; one of {', '.join(get_args(hint))}" if get_origin(hint) is Literal else ""


class _Layer:
    """Puts texts of variables and flags over what the file said, each turned to its key's type."""

    def __init__(self, raw: Raw, problems: list[str]) -> None:
        self._raw = raw
        self._problems = problems
        self._structs = {table.removesuffix(".NAME"): struct for table, struct in sections()}

    def set_variable(self, variable: str, text: str) -> None:
        """FILEROOM_DIMSE_PORT=0, or FILEROOM_PEERS_PACS_AE_TITLE=PACS for a named table."""
        words = variable.removeprefix(PREFIX).lower()
        table, _, rest = words.partition("_")
        struct = self._structs.get(table)
        if struct is None:
            known = [f"{PREFIX}{each.upper()}_…" for each in self._structs]
            self._problems.append(f"{variable}: unknown{_nearest(variable, known)}")
            return
        name = ""
        key = rest
        if table in Settings.NAMED:
            fits = [k for k in struct.__struct_fields__ if rest.endswith(f"_{k}")]
            key = max(fits, key=len, default=rest)
            name = rest.removesuffix(key).rstrip("_").replace("_", "-")
        if key not in struct.__struct_fields__:
            known = [f"{PREFIX}{table}_{each}".upper() for each in struct.__struct_fields__]
            self._problems.append(f"{variable}: unknown{_nearest(variable, known)}")
            return
        self._set(variable, table, name, key, text)

    def set_dotted(self, dotted: str, text: str) -> None:
        """A flag's value; the command line's own code makes `dotted`, so it is a known key."""
        table, _, key = dotted.partition(".")
        self._set(dotted, table, "", key, text)

    def _set(self, told: str, table: str, name: str, key: str, text: str) -> None:
        hint = get_type_hints(self._structs[table], include_extras=True)[key]
        value: Any = text
        if get_origin(get_type_hints(self._structs[table])[key]) is list:
            value = [each.strip() for each in text.split(",") if each.strip()]
        try:
            value = msgspec.convert(value, hint, strict=False)
        except msgspec.ValidationError as error:
            self._problems.append(f"{told}: {error}{_choices(self._structs[table], key)}")
            return
        into = self._raw.setdefault(table, {})
        if name and isinstance(into, dict):
            into = into.setdefault(name, {})
        if isinstance(into, dict):  # else the file's mistake is told already
            into[key] = value
