-- The verifiable log. An entry of the audit trail is durable with its change; here it is given its place in the tree
-- afterwards, in the order of the entries. What is in the audit trail already is given its place by the same work, in
-- slices while the service runs: this migration reads no table.

-- One row: whose log it is, and how far it has come. Every entry up to the position has its place or is in log_gap.
-- Leaves before `pruned` were exported and their entries removed.
CREATE TABLE log_state (
  id BIGINT NOT NULL PRIMARY KEY,
  origin TEXT NOT NULL,
  public_key {BLOB} NOT NULL,
  sealed_secret {BLOB} NOT NULL,
  size BIGINT NOT NULL,
  position BIGINT NOT NULL,
  pruned BIGINT NOT NULL,
  checkpoint TEXT NOT NULL
);

-- Up to 256 hashes of 32 bytes.
CREATE TABLE log_tile (
  level BIGINT NOT NULL,
  number BIGINT NOT NULL,
  hashes {BLOB} NOT NULL,
  PRIMARY KEY (level, number)
);

-- Which entries of the audit trail are the leaves of a tile of level 0: their positions, 8 bytes each, big-endian.
CREATE TABLE log_bundle (
  number BIGINT NOT NULL PRIMARY KEY,
  first_position BIGINT NOT NULL,
  last_position BIGINT NOT NULL,
  positions {BLOB} NOT NULL
);

CREATE INDEX log_bundle_by_position ON log_bundle (last_position);

-- Positions that were given and not seen yet: of transactions that have not ended, or were undone.
CREATE TABLE log_gap (
  position BIGINT NOT NULL PRIMARY KEY,
  noted_at BIGINT NOT NULL,
  ceiling BIGINT
);

-- What the audit trail is searched by: resource, principal or action after one letter, and where entries are.
CREATE TABLE audit_term (
  term TEXT NOT NULL,
  position BIGINT NOT NULL,
  PRIMARY KEY (term, position)
){WITHOUT_ROWID};
