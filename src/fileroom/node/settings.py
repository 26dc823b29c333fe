"""Every setting of a node, with its limits, its default and one sentence about it. Pure.

docs/settings.md, the environment names, the check for unknown keys and the file that
`fileroom init` writes are all made from these structs. Units stand last in a key's name.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from fileroom.node.completeness_settings import Completeness
from fileroom.node.entity_settings import PeerSettings, TitleSettings
from fileroom.node.forward_settings import ForwardSettings, WebPeerSettings
from fileroom.node.receive_settings import Receive
from fileroom.node.reject_settings import Reject
from fileroom.node.section import (
    LIVE,
    NAME,
    SECRET,
    Section,
    is_ae_title,
    require,
    require_ae_title,
)

__all__ = [
    "LIVE",
    "NAME",
    "SECRET",
    "ForwardSettings",
    "PeerSettings",
    "Section",
    "Settings",
    "Source",
    "TitleSettings",
    "WebPeerSettings",
    "is_ae_title",
]


class Site(Section, frozen=True):
    """Who this archive is."""

    name: Annotated[
        str, Meta(description="Name of the site in the ledger and in packs. Never change it.")
    ] = "site"
    partition: Annotated[str, Meta(description="Partition that received instances belong to.")] = (
        "main"
    )
    timezone: Annotated[
        str,
        Meta(
            description="Time zone (such as `Europe/Berlin`) of data sets that state none, for "
            "queries from other zones. Empty: unknown, and they are answered as they are."
        ),
    ] = ""

    def __post_init__(self) -> None:
        for key, value in (("name", self.name), ("partition", self.partition)):
            require(
                NAME.fullmatch(value) is not None,
                f"{key} must be 1 to 63 of a-z, 0-9 and '-', not beginning with '-'",
            )


class Data(Section, frozen=True):
    """Where this node keeps its own files."""

    directory: Annotated[
        str,
        Meta(description="Data folder. A relative path counts from the folder of this file."),
    ] = "fileroom-data"


class Dimse(Section, frozen=True):
    """The DICOM door."""

    host: Annotated[str, Meta(description="Address to listen on; `::1` and `::` for IPv6.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one.")] = 11112
    ae_title: Annotated[
        str,
        Meta(
            description="Our AE title, 1 to 16 characters: the one that we call others by. More, "
            "and what each gives, in [titles]."
        ),
    ] = "FILEROOM"
    pdu_size_bytes_max: Annotated[
        int,
        Meta(ge=4096, le=1 << 20, description="Maximum PDU length that we announce."),
    ] = 131072
    associations_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Associations open at once; the next is rejected for a local limit.",
            extra=LIVE,
        ),
    ] = 64
    associations_per_peer_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="The same of one peer, or of one address where no peer may call.",
            extra=LIVE,
        ),
    ] = 32
    idle_timeout_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="Silence after which we abort.", extra=LIVE),
    ] = 60.0
    artim_s: Annotated[
        float,
        Meta(gt=0, le=600, description="ARTIM timer (PS3.8 §9.1.5).", extra=LIVE),
    ] = 30.0

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)


class Http(Section, frozen=True):
    """The web door: DICOMweb, status, health, metrics."""

    host: Annotated[str, Meta(description="Address to listen on; `::1` and `::` for IPv6.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one.")] = 8642
    prefix: Annotated[
        str,
        Meta(description="Path under which a reverse proxy shows this node, such as `/images`."),
    ] = ""
    host_names: Annotated[
        list[str],
        Meta(
            description="Names, besides bare addresses, by which callers may reach this node "
            "directly; a request for another name is refused."
        ),
    ] = msgspec.field(default_factory=lambda: ["localhost"])
    trusted_proxies: Annotated[
        list[str],
        Meta(description="Addresses or networks whose X-Forwarded-For and -Proto are believed."),
    ] = msgspec.field(default_factory=list)
    cors_origins: Annotated[
        list[str],
        Meta(description="Web origins that may call from a browser, such as a viewer's."),
    ] = msgspec.field(default_factory=list)
    request_size_bytes_max: Annotated[
        int,
        Meta(ge=1 << 20, description="Largest body of one STOW-RS request."),
    ] = 64 << 30
    idle_timeout_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="Silence after which a connection is closed."),
    ] = 60.0
    connections_max: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections open at once.")
    ] = 256

    def __post_init__(self) -> None:
        require(
            self.prefix == "" or re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", self.prefix) is not None,
            "prefix must be empty or a path such as /images, without a slash at its end",
        )
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from error
        for origin in self.cors_origins:
            require(
                re.fullmatch(r"https?://[^/\s]+", origin) is not None,
                "cors_origins must hold scheme and host only, such as https://viewer.example",
            )


class Keys(Section, frozen=True):
    """How the site key is opened at start."""

    passphrase_file: Annotated[
        str,
        Meta(
            description="File whose first line is the passphrase, mode 0600, on another disk than "
            "the data. Empty: the credential, then the file `passphrase` in the data folder."
        ),
    ] = ""
    credential: Annotated[
        str,
        Meta(description="Name of the systemd credential (LoadCredential=) with the passphrase."),
    ] = "fileroom-passphrase"
    retry_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Time after which a passphrase that was missing or wrong is read again; "
            "it doubles up to a minute. SIGHUP reads it at once.",
        ),
    ] = 5.0


class Spool(Section, frozen=True):
    """Where received instances lie until they are sealed into packs."""

    segment_size_bytes: Annotated[
        int,
        Meta(ge=1 << 20, le=16 << 30, description="Size of one segment file."),
    ] = 256 << 20
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Free disk space below which new work is refused (A700, HTTP 507).",
        ),
    ] = 1 << 30


class Seal(Section, frozen=True):
    """When a series is sealed into a pack."""

    quiet_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="Quiet time of a series after which it is sealed."),
    ] = 20.0
    target_size_bytes: Annotated[
        int,
        Meta(ge=1 << 20, le=1 << 30, description="Size at which a pack is sealed at once."),
    ] = 32 << 20


class Placement(Section, frozen=True):
    """How many copies make an instance COMMITTED."""

    copies_min: Annotated[
        int,
        Meta(ge=1, le=16, description="Verified copies, each on a provider of its own."),
    ] = 1


class Commitment(Section, frozen=True):
    """Storage commitment (N-ACTION): what a peer is told of the instances that it asks about."""

    grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=30 * 86_400,
            description="Time after a request in which an instance may still come; then it is "
            "answered as not there (0112).",
            extra=LIVE,
        ),
    ] = 600.0


class Cache(Section, frozen=True):
    """Encrypted segments of packs that were fetched from a provider."""

    size_bytes: Annotated[int, Meta(ge=0, description="Most that the cache may hold.")] = 1 << 30


class Local(Section, frozen=True):
    """Packs kept on this node's disk beside the providers' copies."""

    packs_size_bytes: Annotated[
        int,
        Meta(ge=0, description="COMMITTED packs above this size are evicted, oldest first."),
    ] = 20 << 30


class Log(Section, frozen=True):
    """What the program says to standard error. Never patient data."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least important line that is written.", extra=LIVE),
    ] = "info"
    json: Annotated[bool, Meta(description="One JSON object a line.")] = False


class ProviderSettings(Section, frozen=True):
    """A place outside this node that keeps copies. One table per provider."""

    kind: Annotated[Literal["directory"], Meta(description="How it is reached.")]
    path: Annotated[
        str,
        Meta(description="Folder. A relative path counts from the folder of this file."),
    ]
    disk: Annotated[
        str, Meta(description="Failure domain: which disk. Empty: found out from the path.")
    ] = ""
    building: Annotated[str, Meta(description="Failure domain: which building.")] = ""
    account: Annotated[str, Meta(description="Failure domain: whose account.")] = ""
    company: Annotated[str, Meta(description="Failure domain: whose company.")] = ""
    region: Annotated[str, Meta(description="Failure domain: which region.")] = ""
    country: Annotated[str, Meta(description="Failure domain: which country.")] = ""

    def __post_init__(self) -> None:
        require(self.path != "", "path must not be empty")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where settings came from, so that a reload reads the same places again."""

    file: str | None = None
    overrides: dict[str, str] = {}  # "dimse.port" -> text: the flags of the command line
    environment: dict[str, str] = {}  # FILEROOM_… as they stood at start


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. `source` is not a key of the file; paths are absolute after loading."""

    site: Site = Site()
    data: Data = Data()
    dimse: Dimse = Dimse()
    http: Http = Http()
    keys: Keys = Keys()
    receive: Receive = Receive()
    reject: Reject = Reject()
    spool: Spool = Spool()
    seal: Seal = Seal()
    placement: Placement = Placement()
    commitment: Commitment = Commitment()
    completeness: Completeness = Completeness()
    cache: Cache = Cache()
    local: Local = Local()
    log: Log = Log()
    providers: dict[str, ProviderSettings] = {}
    titles: dict[str, TitleSettings] = {}
    peers: dict[str, PeerSettings] = {}
    webpeers: dict[str, WebPeerSettings] = {}
    forward: dict[str, ForwardSettings] = {}
    source: Source = Source()

    # Tables that hold one table per name, and what such a table is made of.
    NAMED: ClassVar[dict[str, type[Section]]] = {
        "providers": ProviderSettings,
        "titles": TitleSettings,
        "peers": PeerSettings,
        "webpeers": WebPeerSettings,
        "forward": ForwardSettings,
    }
    # Those that a running node takes over at SIGHUP.
    LIVE_NAMED: ClassVar[frozenset[str]] = frozenset({"titles", "peers", "webpeers", "forward"})

    def __post_init__(self) -> None:
        for table in self.NAMED:
            for name in getattr(self, table):
                require(
                    NAME.fullmatch(name) is not None,
                    f"[{table}.{name}]: a name is 1 to 63 of a-z, 0-9 and '-'",
                )
        ae_titles = [each.ae_title.strip() for each in self.titles.values()]
        require(len(set(ae_titles)) == len(ae_titles), "[titles]: two tables have one AE title")
        twice = self.peers.keys() & self.webpeers.keys()
        require(not twice, f"[webpeers]: {', '.join(sorted(twice))} is a name of [peers] too")
        for name, rule in self.forward.items():
            known = rule.to in self.peers or rule.to in self.webpeers
            require(known, f"[forward.{name}]: there is no peer {rule.to!r}")
        copies_max = len(self.providers) or 1
        require(
            self.placement.copies_min <= copies_max,
            f"[placement] copies_min is {self.placement.copies_min}, "
            f"and there are {copies_max} providers",
        )

    @property
    def data_directory(self) -> Path:
        return Path(self.data.directory)

    @property
    def config_file(self) -> Path | None:
        """The file that these settings were read from, if there was one."""
        return Path(self.source.file) if self.source.file else None

    @property
    def providers_in_use(self) -> dict[str, ProviderSettings]:
        """The configured providers, or a folder inside the data folder where there are none.

        The latter is one copy on the same disk, and status says so.
        """
        if self.providers:
            return self.providers
        path = str(self.data_directory / "bucket")
        return {"bucket": ProviderSettings(kind="directory", path=path)}
