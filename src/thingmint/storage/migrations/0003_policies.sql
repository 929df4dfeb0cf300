-- A version's number is never given twice: last_version only grows. The target of an attachment is an ARN, ordered as
-- the names of groups are: PostgreSQL looks nothing up in an index of another order.

CREATE TABLE policy (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  default_version BIGINT NOT NULL,
  last_version BIGINT NOT NULL,
  generation_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  UNIQUE (name, account, region)
);

CREATE INDEX policy_list ON policy (account, region, position);

CREATE TABLE policy_version (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  policy_name TEXT NOT NULL,
  version BIGINT NOT NULL,
  document TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  PRIMARY KEY (account, region, policy_name, version)
);

CREATE TABLE policy_attachment (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  policy_name TEXT NOT NULL,
  target {ORDERED_TEXT} NOT NULL,
  UNIQUE (target, policy_name, account, region)
);

CREATE INDEX targets_of_policy ON policy_attachment (account, region, policy_name, position);

-- Which resources changed in a way that bears on what devices may do, and when last; a row for each that ever did.
CREATE TABLE resource_change (
  resource TEXT NOT NULL PRIMARY KEY,
  stamp BIGINT NOT NULL
);

CREATE INDEX resource_change_stamp ON resource_change (stamp);
