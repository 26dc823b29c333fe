-- Catalog schema 1. docs/format/catalog.md says what each column means.
-- Times are Unix nanoseconds. Digests of UIDs are SHA-256(uid)[:16].

CREATE TABLE migration (
    number INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL,
    applied_at_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE node (number INTEGER PRIMARY KEY, node_id TEXT NOT NULL UNIQUE) STRICT;

-- What there is ------------------------------------------------------------------------------

CREATE TABLE partition (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- An empty patient_id makes one patient of each study: lone_study is then its UID, else ''.
CREATE TABLE patient (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    patient_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    lone_study TEXT NOT NULL,
    attributes TEXT NOT NULL,
    UNIQUE (patient_id, issuer, lone_study, partition)
) STRICT;

CREATE TABLE study (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    patient INTEGER NOT NULL,
    uid TEXT NOT NULL,
    study_date TEXT NOT NULL,
    accession_number TEXT NOT NULL,
    study_id TEXT NOT NULL,
    modalities TEXT NOT NULL,
    attributes TEXT NOT NULL,
    study_key_id BLOB,
    UNIQUE (uid, partition)
) STRICT;
CREATE INDEX study_by_patient ON study (patient);
CREATE INDEX study_by_date ON study (partition, study_date);
CREATE INDEX study_by_accession_number ON study (accession_number) WHERE accession_number <> '';
CREATE INDEX study_by_study_id ON study (study_id) WHERE study_id <> '';

-- One row for each component group of a study's patient name, folded.
CREATE TABLE study_name (
    folded TEXT NOT NULL,
    study INTEGER NOT NULL,
    PRIMARY KEY (folded, study)
) STRICT, WITHOUT ROWID;

CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    study INTEGER NOT NULL,
    uid TEXT NOT NULL,
    attributes TEXT NOT NULL,
    UNIQUE (uid, study)
) STRICT;
CREATE INDEX series_by_study ON series (study);

-- The narrow row. A UID's first data set; others are conflicts.
CREATE TABLE instance (
    uid_digest BLOB PRIMARY KEY,
    pack INTEGER NOT NULL,
    ordinal INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conflict (
    uid_digest BLOB NOT NULL,
    pack INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (uid_digest, pack, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX conflict_by_pack ON conflict (pack);

-- The spool ----------------------------------------------------------------------------------

-- id = segment << 40 | offset, so a record cannot be there twice and order is arrival.
CREATE TABLE spooled (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL,
    uid_digest BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    received_at_ns INTEGER NOT NULL,
    node INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX spooled_by_series ON spooled (series, uid_digest, id);

-- A row for each series that has spooled rows; the sealing queue.
CREATE TABLE pending (
    series INTEGER PRIMARY KEY,
    spooled_count INTEGER NOT NULL,
    spooled_bytes INTEGER NOT NULL,
    oldest_ns INTEGER NOT NULL,
    newest_ns INTEGER NOT NULL
) STRICT;

-- Spool records that lie in packs while their segment is still there: a replay of the spool
-- knows them by place and by the first 8 bytes of the data set's SHA-256.
CREATE TABLE settled (id INTEGER PRIMARY KEY, sha256_head BLOB NOT NULL) STRICT;

-- Spool records that could not be read. Kept, shown, never sealed.
CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL,
    uid_digest BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    received_at_ns INTEGER NOT NULL,
    node INTEGER NOT NULL
) STRICT;

-- Everything that the spool has to keep.
CREATE VIEW held (id) AS SELECT id FROM spooled UNION ALL SELECT id FROM set_aside;

-- Spooled instances whose UID no pack answers for.
CREATE VIEW unpacked (id, series, uid_digest, size_bytes, sha256, received_at_ns) AS
    SELECT id, series, uid_digest, size_bytes, sha256, received_at_ns FROM spooled
    WHERE NOT EXISTS (SELECT 1 FROM instance WHERE instance.uid_digest = spooled.uid_digest);

-- Packs and copies ---------------------------------------------------------------------------

CREATE TABLE pack (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    study INTEGER NOT NULL,
    series INTEGER NOT NULL,
    sha256 BLOB NOT NULL UNIQUE,
    study_key_id BLOB NOT NULL,
    tink_header BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    plaintext_size_bytes INTEGER NOT NULL,
    metadata_offset INTEGER NOT NULL,
    metadata_size_bytes INTEGER NOT NULL,
    instance_count INTEGER NOT NULL,
    conflict_count INTEGER NOT NULL,
    state TEXT NOT NULL,
    local INTEGER NOT NULL,
    node INTEGER NOT NULL,
    received_oldest_ns INTEGER NOT NULL,
    sealed_at_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX pack_by_series ON pack (study, series);
CREATE INDEX pack_by_state ON pack (state, received_oldest_ns);
CREATE INDEX pack_by_local ON pack (state) WHERE local = 1;

CREATE VIEW pack_row AS
    SELECT pack.number, study, series, sha256, study_key_id, tink_header, size_bytes,
        plaintext_size_bytes, metadata_offset, metadata_size_bytes, instance_count,
        conflict_count, state, local, node_id, received_oldest_ns, sealed_at_ns
    FROM pack CROSS JOIN node ON node.number = pack.node;

CREATE TABLE copy (
    pack INTEGER NOT NULL,
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum_kind TEXT NOT NULL,
    version_id TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    verified_at_ns INTEGER NOT NULL,
    PRIMARY KEY (pack, provider)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_unverified ON copy (provider, state) WHERE state <> 'VERIFIED';

CREATE TABLE key_copy (
    study_key_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    verified_at_ns INTEGER NOT NULL,
    PRIMARY KEY (study_key_id, generation, provider)
) STRICT, WITHOUT ROWID;

-- Sums over pack and copy, kept by the triggers below, so that status never scans.
CREATE TABLE pack_total (
    state TEXT NOT NULL,
    local INTEGER NOT NULL,
    packs INTEGER NOT NULL,
    instances INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (state, local)
) STRICT, WITHOUT ROWID;

CREATE TABLE copy_total (
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    packs INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (provider, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER pack_counted AFTER INSERT ON pack BEGIN
    INSERT INTO pack_total VALUES (NEW.state, NEW.local, 1, NEW.instance_count, NEW.size_bytes)
    ON CONFLICT (state, local) DO UPDATE SET packs = packs + 1,
        instances = instances + NEW.instance_count, size_bytes = size_bytes + NEW.size_bytes;
END;
CREATE TRIGGER pack_recounted AFTER UPDATE OF state, local ON pack BEGIN
    UPDATE pack_total SET packs = packs - 1, instances = instances - OLD.instance_count,
        size_bytes = size_bytes - OLD.size_bytes WHERE state = OLD.state AND local = OLD.local;
    INSERT INTO pack_total VALUES (NEW.state, NEW.local, 1, NEW.instance_count, NEW.size_bytes)
    ON CONFLICT (state, local) DO UPDATE SET packs = packs + 1,
        instances = instances + NEW.instance_count, size_bytes = size_bytes + NEW.size_bytes;
END;
CREATE TRIGGER pack_uncounted AFTER DELETE ON pack BEGIN
    UPDATE pack_total SET packs = packs - 1, instances = instances - OLD.instance_count,
        size_bytes = size_bytes - OLD.size_bytes WHERE state = OLD.state AND local = OLD.local;
END;
CREATE TRIGGER copy_counted AFTER INSERT ON copy BEGIN
    INSERT INTO copy_total VALUES (NEW.provider, NEW.state, 1, NEW.size_bytes)
    ON CONFLICT (provider, state) DO UPDATE SET packs = packs + 1,
        size_bytes = size_bytes + NEW.size_bytes;
END;
CREATE TRIGGER copy_recounted AFTER UPDATE OF state ON copy BEGIN
    UPDATE copy_total SET packs = packs - 1, size_bytes = size_bytes - OLD.size_bytes
    WHERE provider = OLD.provider AND state = OLD.state;
    INSERT INTO copy_total VALUES (NEW.provider, NEW.state, 1, NEW.size_bytes)
    ON CONFLICT (provider, state) DO UPDATE SET packs = packs + 1,
        size_bytes = size_bytes + NEW.size_bytes;
END;
CREATE TRIGGER copy_uncounted AFTER DELETE ON copy BEGIN
    UPDATE copy_total SET packs = packs - 1, size_bytes = size_bytes - OLD.size_bytes
    WHERE provider = OLD.provider AND state = OLD.state;
END;

-- Work ---------------------------------------------------------------------------------------

CREATE TABLE lease (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    holder TEXT NOT NULL,
    token INTEGER NOT NULL,
    expires_at_ns INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    percent REAL NOT NULL,
    bytes_done INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL,
    rate_bytes_per_s REAL NOT NULL,
    eta_s REAL,
    cursor TEXT NOT NULL,
    last_error TEXT NOT NULL,
    ledger_index INTEGER,
    created_at_ns INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE refused_caller (
    address TEXT NOT NULL,
    calling_ae_title TEXT NOT NULL,
    called_ae_title TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_at_ns INTEGER NOT NULL,
    last_at_ns INTEGER NOT NULL,
    PRIMARY KEY (address, calling_ae_title, called_ae_title, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX refused_caller_by_time ON refused_caller (last_at_ns);
