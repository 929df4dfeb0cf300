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

-- The common name of the subject, cut to 256 characters; those of certificates that are there are filled in by
-- storage/migration_code.py.
ALTER TABLE certificate ADD COLUMN common_name {ORDERED_TEXT};

CREATE INDEX certificate_by_common_name ON certificate (account, region, common_name, position)
  WHERE common_name IS NOT NULL;
CREATE INDEX certificate_by_serial ON certificate (account, region, serial_number, position);
CREATE INDEX certificate_by_issuer ON certificate (account, region, issuer_id, position);
CREATE INDEX certificate_by_status ON certificate (account, region, status, position);
CREATE INDEX certificate_by_end ON certificate (account, region, not_after, position);

CREATE INDEX audit_of_resource ON audit (account, region, resource, position);
