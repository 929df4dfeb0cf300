-- A CA certificate in DEFAULT mode belongs to one account of a region, and so does a device certificate that was
-- registered with one. The limit of CA certificates with one subject is kept by counting them in a row of their own:
-- whoever registers one changes that row.

CREATE TABLE ca_certificate (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  certificate_id TEXT NOT NULL,
  subject_digest TEXT NOT NULL,
  status TEXT NOT NULL,
  mode TEXT NOT NULL,
  auto_registration TEXT NOT NULL,
  template_body TEXT,
  template_name TEXT,
  role_arn TEXT,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  customer_version BIGINT NOT NULL,
  generation_id TEXT NOT NULL,
  der {BLOB} NOT NULL,
  UNIQUE (certificate_id, account, region)
);

CREATE INDEX ca_certificate_list ON ca_certificate (account, region, position);
CREATE INDEX ca_certificate_by_subject ON ca_certificate (subject_digest, region, position);
CREATE INDEX ca_certificate_by_template ON ca_certificate (account, region, template_name, position);
CREATE UNIQUE INDEX ca_certificate_default ON ca_certificate (certificate_id, region) WHERE mode = 'DEFAULT';

CREATE TABLE ca_subject (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  subject_digest TEXT NOT NULL,
  certificates BIGINT NOT NULL,
  PRIMARY KEY (account, region, subject_digest)
);

CREATE TABLE registration_code (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  code TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account, region)
);

ALTER TABLE certificate ADD COLUMN ca_certificate_id TEXT;

CREATE INDEX certificate_by_ca ON certificate (account, region, ca_certificate_id, position{SUMMARY_COLUMNS})
  WHERE ca_certificate_id IS NOT NULL;
CREATE UNIQUE INDEX certificate_default ON certificate (certificate_id, region)
  WHERE issuer_id IS NULL AND mode = 'DEFAULT';
