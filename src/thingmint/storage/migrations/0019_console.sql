-- What the web console needs: sessions, and indexes that find certificates and audit entries.
-- A session is found by the SHA-256 of its token. The access key's own time of creation is kept, too: another key that is
-- stored under the same id later is another key.

CREATE TABLE console_session (
  position {PK},
  token_sha256 TEXT NOT NULL UNIQUE,
  access_key_id TEXT NOT NULL,
  key_created_at BIGINT NOT NULL,
  source_address TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  used_at BIGINT NOT NULL
);

CREATE INDEX console_session_of_key ON console_session (access_key_id);
CREATE INDEX console_session_used ON console_session (used_at);

-- A search by a status or issuer that few certificates have must not walk through all of them in the order of positions,
-- as in 0002: a statement keeps the plan that was good for its first parameters.
-- The common name of the subject, cut to 256 characters; those of certificates that are there are filled in by
-- storage/migration_code.py.
ALTER TABLE certificate ADD COLUMN common_name {ORDERED_TEXT};

CREATE INDEX certificate_by_common_name ON certificate (account, region, common_name, position)
  WHERE common_name IS NOT NULL;
CREATE INDEX certificate_by_serial ON certificate (account, region, serial_number, (position + 0));
CREATE INDEX certificate_of_ca ON certificate (account, region, ca_certificate_id, (position + 0))
  WHERE ca_certificate_id IS NOT NULL;
CREATE INDEX certificate_by_issuer ON certificate (account, region, issuer_id, (position + 0));
CREATE INDEX certificate_by_status ON certificate (account, region, status, (position + 0));
CREATE INDEX certificate_by_end ON certificate (account, region, not_after, position);

CREATE INDEX audit_of_resource ON audit (account, region, resource, position);
