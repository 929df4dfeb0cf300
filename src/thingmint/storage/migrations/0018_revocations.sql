-- What others must know of the service's own certificates: which are revoked or on hold, why and since when. A row
-- outlives its certificate until the certificate's own end. The rows of certificates that are there are filled in by
-- storage/migration_code.py. A part is the lowest ten bits of the serial number: a list is put together from its parts.
-- A stamp orders rows so that a reader that asks for those from the horizon on misses none.
CREATE TABLE revocation (
  position {PK},
  issuer_id TEXT NOT NULL,
  serial_number TEXT NOT NULL,
  part BIGINT NOT NULL,
  reason BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  stamp BIGINT NOT NULL,
  UNIQUE (issuer_id, serial_number)
);

CREATE INDEX revocation_part ON revocation (issuer_id, part);
CREATE INDEX revocation_stamp ON revocation (stamp);
CREATE INDEX revocation_end ON revocation (not_after);

-- The newest list of each issuer, and of each part of an issuer's certificates that certificates name. The number decides
-- which of several nodes writes the next one.
CREATE TABLE revocation_list (
  position {PK},
  issuer_id TEXT NOT NULL,
  shards BIGINT NOT NULL,
  shard BIGINT NOT NULL,
  number BIGINT NOT NULL,
  entries BIGINT NOT NULL,
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  content_digest TEXT NOT NULL,
  der {BLOB} NOT NULL,
  UNIQUE (issuer_id, shards, shard)
);

-- Which node writes lists, and until when no other one does.
CREATE TABLE revocation_list_lease (
  id BIGINT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  ends_at BIGINT NOT NULL
);
