-- Catalog schema 4: which SOP classes a study has.

-- Each between backslashes, like modalities. Of studies that an older program recorded those that
-- came later: a catalog that is made again has all of them.
ALTER TABLE study ADD COLUMN sop_classes TEXT NOT NULL DEFAULT '\';
