-- Catalog schema 5.

-- Conflicts and studies of two patients ------------------------------------------------------

-- A projection of the ledger's conflict.settled: which data set under a UID is served.
CREATE TABLE settlement (
    uid_digest BLOB PRIMARY KEY,
    served_sha256 BLOB NOT NULL,
    ledger_index INTEGER NOT NULL,
    decided_at_ns INTEGER NOT NULL,
    decided_by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The data sets that were known when it was decided. Packs may not be here yet, or any more.
CREATE TABLE settled_data_set (
    pack_sha256 BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    uid_digest BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (pack_sha256, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX settled_data_set_by_uid ON settled_data_set (uid_digest, sha256);

-- Where data sets of such UIDs lie. replacement: it took the place of what could not be read any
-- more, after the decision.
CREATE TABLE settled_place (
    pack INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    replacement INTEGER NOT NULL,
    PRIMARY KEY (pack, ordinal)
) STRICT, WITHOUT ROWID;

-- Settlements that stand: what was decided is what is served, and nothing came since.
CREATE VIEW standing_settlement (uid_digest) AS
    SELECT settlement.uid_digest FROM settlement
    CROSS JOIN instance ON instance.uid_digest = settlement.uid_digest
    CROSS JOIN settled_place AS served ON served.pack = instance.pack
        AND served.ordinal = instance.ordinal AND served.sha256 = served_sha256
    WHERE NOT EXISTS (
        SELECT 1 FROM conflict
        LEFT JOIN settled_place AS other
            ON other.pack = conflict.pack AND other.ordinal = conflict.ordinal
        WHERE conflict.uid_digest = settlement.uid_digest AND same = 0 AND NOT EXISTS (
            SELECT 1 FROM settled_data_set AS known
            WHERE known.uid_digest = conflict.uid_digest AND known.sha256 = other.sha256));

-- Instances of a pack that say another patient than their study has.
CREATE TABLE other_patient (
    study INTEGER NOT NULL,
    series INTEGER NOT NULL,
    pack INTEGER NOT NULL,
    patient_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    instance_count INTEGER NOT NULL,
    PRIMARY KEY (study, series, pack, patient_id, issuer, name, birth_date)
) STRICT, WITHOUT ROWID;
CREATE INDEX other_patient_by_pack ON other_patient (pack);

-- Forwarding ---------------------------------------------------------------------------------

-- Rules, and their destinations, that the ledger was told of last.
CREATE TABLE forward_rule (
    name TEXT PRIMARY KEY,
    destination TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE forward_paused (destination TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Packs that a rule is to be asked about; '' is every rule.
CREATE TABLE forward_unrouted (
    pack INTEGER NOT NULL,
    rule TEXT NOT NULL,
    PRIMARY KEY (pack, rule)
) STRICT, WITHOUT ROWID;

-- Instances of a pack that wait for a destination. left_over: ordinals as runs, "0-2 5".
-- turn: what was tried later has a higher one.
CREATE TABLE forward_waiting (
    destination TEXT NOT NULL,
    rule TEXT NOT NULL,
    pack INTEGER NOT NULL,
    study_uid TEXT NOT NULL,
    left_over TEXT NOT NULL,
    left_count INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    PRIMARY KEY (destination, rule, pack)
) STRICT, WITHOUT ROWID;
CREATE INDEX forward_waiting_next ON forward_waiting (destination, rule, turn, pack);
CREATE INDEX forward_waiting_by_study ON forward_waiting (study_uid);
CREATE INDEX forward_waiting_by_pack ON forward_waiting (pack);

-- What a destination refused for good, until it is tried again.
CREATE TABLE forward_refused (
    destination TEXT NOT NULL,
    rule TEXT NOT NULL,
    pack INTEGER NOT NULL,
    reason TEXT NOT NULL,
    study_uid TEXT NOT NULL,
    ordinals TEXT NOT NULL,
    ordinal_count INTEGER NOT NULL,
    PRIMARY KEY (destination, rule, pack, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX forward_refused_by_study ON forward_refused (study_uid);
CREATE INDEX forward_refused_by_pack ON forward_refused (pack);

-- Counts of instances that are decided, of each study at each destination.
CREATE TABLE forward_study (
    study_uid TEXT NOT NULL,
    destination TEXT NOT NULL,
    stored INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    changed_at_ns INTEGER NOT NULL,
    PRIMARY KEY (study_uid, destination)
) STRICT, WITHOUT ROWID;
CREATE INDEX forward_study_by_time ON forward_study (changed_at_ns);

-- In the transaction that records a pack, so that none is forgotten. What a rebuild finds at a
-- provider was asked about before, unless the ledger says otherwise.
CREATE TRIGGER forward_unrouted_from AFTER INSERT ON pack
WHEN NEW.state = 'SEALED' AND EXISTS (SELECT 1 FROM forward_rule) BEGIN
    INSERT INTO forward_unrouted VALUES (NEW.number, '');
END;
-- What a pack held that is gone is sealed again, or deleted.
CREATE TRIGGER forward_forgotten AFTER DELETE ON pack BEGIN
    DELETE FROM forward_unrouted WHERE pack = OLD.number;
    DELETE FROM forward_waiting WHERE pack = OLD.number;
    DELETE FROM forward_refused WHERE pack = OLD.number;
END;

-- Rejections ---------------------------------------------------------------------------------

-- A projection of the ledger's instances.rejected and instances.restored: what stands.
-- series_uid: '' for a whole study. named: how many instances it names; 0: all that there is.
CREATE TABLE rejection (
    ledger_index INTEGER PRIMARY KEY,
    study_uid TEXT NOT NULL,
    series_uid TEXT NOT NULL,
    named INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at_ns INTEGER NOT NULL,
    note_uid TEXT NOT NULL
) STRICT;
CREATE INDEX rejection_by_scope ON rejection (study_uid, series_uid);

CREATE TABLE rejected_instance (
    rejection INTEGER NOT NULL,
    uid_digest BLOB NOT NULL,
    uid TEXT NOT NULL,
    PRIMARY KEY (rejection, uid_digest)
) STRICT, WITHOUT ROWID;

-- Spool records of Key Object Selections that may be rejection notes and were not looked at yet;
-- and the notes that were followed, so that none is twice.
CREATE TABLE note_waiting (id INTEGER PRIMARY KEY, uid_digest BLOB NOT NULL) STRICT;
CREATE TABLE followed_note (uid_digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

DROP VIEW held;
CREATE VIEW held (id) AS SELECT id FROM spooled UNION ALL SELECT id FROM set_aside
    UNION ALL SELECT id FROM note_waiting;

-- What was decided about a series, by itself or with its study. Ask by the series.
CREATE VIEW rejecting (series, rejection, named) AS
    SELECT series.id, rejection.ledger_index, rejection.named
    FROM series CROSS JOIN study ON study.id = series.study
    CROSS JOIN rejection ON rejection.study_uid = study.uid
        AND rejection.series_uid IN ('', series.uid);

-- Rejections of a whole study or series for which more has come since: a pack, or in the spool.
CREATE VIEW outgrown (rejection) AS
    SELECT ledger_index FROM rejection WHERE named = 0 AND EXISTS (
        SELECT 1 FROM study CROSS JOIN series ON series.study = study.id
            AND rejection.series_uid IN ('', series.uid)
        WHERE study.uid = rejection.study_uid AND (
            EXISTS (SELECT 1 FROM pack WHERE pack.study = study.id AND pack.series = series.id
                AND received_oldest_ns > decided_at_ns)
            OR EXISTS (SELECT 1 FROM pending WHERE pending.series = series.id
                AND newest_ns > decided_at_ns)));

-- What is left to show. Where nothing is rejected, that is all, and these are not asked.
CREATE VIEW shown_unpacked AS
    SELECT * FROM unpacked WHERE NOT EXISTS (
        SELECT 1 FROM rejecting WHERE rejecting.series = unpacked.series AND (named = 0 OR EXISTS (
            SELECT 1 FROM rejected_instance
            WHERE rejected_instance.rejection = rejecting.rejection
                AND rejected_instance.uid_digest = unpacked.uid_digest)));
CREATE VIEW shown_pack AS
    SELECT number, study, series, instance_count, local, conflict_count + (
        SELECT count(*) FROM rejecting
        CROSS JOIN rejected_instance ON rejected_instance.rejection = rejecting.rejection
        CROSS JOIN instance ON instance.uid_digest = rejected_instance.uid_digest
            AND instance.pack = pack.number
        WHERE rejecting.series = pack.series) AS conflict_count
    FROM pack
    WHERE NOT EXISTS (
        SELECT 1 FROM rejecting WHERE rejecting.series = pack.series AND named = 0);
CREATE VIEW shown_series AS
    SELECT id, study, uid FROM series
    WHERE NOT EXISTS (SELECT 1 FROM rejecting WHERE rejecting.series = series.id)
        OR EXISTS (SELECT 1 FROM shown_pack WHERE shown_pack.study = series.study
            AND shown_pack.series = series.id AND instance_count > conflict_count)
        OR EXISTS (SELECT 1 FROM shown_unpacked WHERE shown_unpacked.series = series.id);
CREATE VIEW shown_study AS
    SELECT id, patient, uid FROM study
    WHERE NOT EXISTS (SELECT 1 FROM rejection WHERE rejection.study_uid = study.uid)
        OR EXISTS (SELECT 1 FROM shown_series WHERE shown_series.study = study.id);
CREATE VIEW shown_patient AS
    SELECT id FROM patient
    WHERE EXISTS (SELECT 1 FROM shown_study WHERE shown_study.patient = patient.id)
        OR NOT EXISTS (SELECT 1 FROM study WHERE study.patient = patient.id);

-- Whether all of a study has come -------------------------------------------------------------

-- Studies that have lately come, until they are complete and old. ae_title: who sent last. hints:
-- images that its instances say there are, JSON by series and acquisition. told: what the sender
-- counted, JSON; '' nothing. ask_at_ns: when it is asked next; 0 it is not.
CREATE TABLE arrival (
    study_uid TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    ae_title TEXT NOT NULL,
    first_at_ns INTEGER NOT NULL,
    last_at_ns INTEGER NOT NULL,
    hints TEXT NOT NULL,
    told TEXT NOT NULL,
    asked_at_ns INTEGER NOT NULL,
    asks INTEGER NOT NULL,
    ask_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX arrival_by_state ON arrival (state, last_at_ns);
CREATE INDEX arrival_to_ask ON arrival (ask_at_ns) WHERE ask_at_ns > 0;
