-- A foreign certificate is known by the digest of what its issuer signed: its signature can be encoded in several ways,
-- and its id is the digest of all of it. The digests of certificates that are there are filled in by
-- storage/migration_code.py. The service's own certificates have none: issuer and serial number are unique already.
-- Two CAs with one name may sign the same: of the second one, the digest is followed by a colon and that of its CA's key.
-- A pem is the text in which a certificate was sent, where that is not the service's own form.

ALTER TABLE certificate ADD COLUMN signed_digest {ORDERED_TEXT};
ALTER TABLE certificate ADD COLUMN other_encoding_of TEXT;
ALTER TABLE certificate ADD COLUMN pem TEXT;
ALTER TABLE ca_certificate ADD COLUMN pem TEXT;

CREATE UNIQUE INDEX certificate_signed ON certificate (signed_digest, account, region)
  WHERE signed_digest IS NOT NULL;
CREATE UNIQUE INDEX certificate_signed_default ON certificate (signed_digest, region)
  WHERE signed_digest IS NOT NULL AND mode = 'DEFAULT';
CREATE INDEX certificate_other_encoding ON certificate (position) WHERE other_encoding_of IS NOT NULL;
CREATE INDEX certificate_by_ca_serial ON certificate (ca_certificate_id, serial_number)
  WHERE ca_certificate_id IS NOT NULL;

-- What was revoked and then deleted, until the certificate's own end: no device brings it back by itself.
CREATE TABLE revoked_certificate (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  signed_digest {ORDERED_TEXT} NOT NULL,
  ca_certificate_id TEXT,
  ca_key_digest TEXT,
  serial_number TEXT NOT NULL,
  mode TEXT NOT NULL,
  not_after BIGINT NOT NULL,
  UNIQUE (signed_digest, account, region)
);

CREATE INDEX revoked_certificate_by_serial ON revoked_certificate (ca_certificate_id, serial_number)
  WHERE ca_certificate_id IS NOT NULL;
CREATE INDEX revoked_certificate_end ON revoked_certificate (not_after);
