CREATE TABLE role_alias (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  role_arn TEXT NOT NULL,
  credential_seconds BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  UNIQUE (name, account, region)
);

CREATE INDEX role_alias_list ON role_alias (account, region, position);

CREATE TABLE role_alias_count (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  role_aliases BIGINT NOT NULL,
  PRIMARY KEY (account, region)
);
