-- Catalog schema 2: a data set that lies in two packs is no conflict with itself.

-- same: the bytes of another data set under this UID once more. Not served, and no conflict.
ALTER TABLE conflict ADD COLUMN same INTEGER NOT NULL DEFAULT 0;
