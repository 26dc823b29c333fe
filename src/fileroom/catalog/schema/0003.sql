-- Catalog schema 3: storage commitments that peers asked for.

-- A projection of the ledger's commitment.requested and commitment.reported.
-- cursor, awaits: how many references are decided, and the first one's digest that is not.
-- since_ns: when it came into its state.
CREATE TABLE commitment (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    ae_title TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    referenced_sha256 BLOB NOT NULL,
    requested_at_ns INTEGER NOT NULL,
    state TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    awaits BLOB NOT NULL,
    tries INTEGER NOT NULL,
    since_ns INTEGER NOT NULL,
    UNIQUE (ae_title, transaction_uid)
) STRICT;
CREATE INDEX commitment_waiting ON commitment (number) WHERE state = 'WAITING';
CREATE INDEX commitment_judged ON commitment (ae_title, tries) WHERE state = 'JUDGED';
CREATE INDEX commitment_reported ON commitment (since_ns) WHERE state = 'REPORTED';

-- Apart from the row, which changes often: a large one is megabytes. Gone once it is reported.
CREATE TABLE commitment_references (
    commitment INTEGER PRIMARY KEY,
    folded TEXT NOT NULL
) STRICT;
