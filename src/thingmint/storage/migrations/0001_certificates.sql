-- Times are microseconds since 1970-01-01T00:00:00Z. Positions are given at insertion, grow, and never come back.
-- Serial numbers are lower-case hexadecimal: 159 bits fit no integer of either engine. They are unique for each issuer of
-- the service; what somebody else issued has no issuer here, and two NULLs are never the same.
-- Each statement ends with a semicolon at the end of a line. This file is never edited once released.

CREATE TABLE certificate (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  certificate_id TEXT NOT NULL,
  issuer_id TEXT,
  serial_number TEXT NOT NULL,
  status TEXT NOT NULL,
  mode TEXT NOT NULL,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  customer_version BIGINT NOT NULL,
  generation_id TEXT NOT NULL,
  der {BLOB} NOT NULL,
  UNIQUE (certificate_id, account, region),
  UNIQUE (issuer_id, serial_number)
);

CREATE INDEX certificate_list ON certificate (account, region, position{SUMMARY_COLUMNS});

CREATE TABLE access_key (
  position {PK},
  access_key_id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL,
  user_name TEXT NOT NULL,
  policy_text TEXT NOT NULL,
  sealed_secret {BLOB} NOT NULL,
  session_token_sha256 TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  origin TEXT NOT NULL
);

CREATE INDEX access_key_list ON access_key (account, position);

CREATE TABLE audit (
  position {PK},
  at BIGINT NOT NULL,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  principal_arn TEXT NOT NULL,
  source_address TEXT NOT NULL,
  request_id TEXT NOT NULL,
  action TEXT NOT NULL,
  resource TEXT NOT NULL,
  detail TEXT NOT NULL
);

CREATE INDEX audit_list ON audit (account, region, position);

CREATE TABLE write_check (
  id BIGINT NOT NULL PRIMARY KEY,
  checks BIGINT NOT NULL
);
