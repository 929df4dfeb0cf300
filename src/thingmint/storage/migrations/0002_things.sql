-- Names that refer to other tables are names, not positions: what is listed is told by name, and nothing is renamed.
-- Lists of a few among many order by position + 0, and have indexes on that: PostgreSQL would otherwise be tempted to walk
-- through a whole table in the order of positions until it has found enough.
-- Attributes and other small structures are JSON. Where names are listed by how they start, they are ordered text.

CREATE TABLE thing_type (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  type_id TEXT NOT NULL,
  properties TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  deprecated_at BIGINT,
  UNIQUE (name, account, region)
);

CREATE INDEX thing_type_list ON thing_type (account, region, position);

CREATE TABLE billing_group (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name {ORDERED_TEXT} NOT NULL,
  group_id TEXT NOT NULL,
  description TEXT NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (name, account, region)
);

CREATE INDEX billing_group_list ON billing_group (account, region, name);

CREATE TABLE thing (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  thing_id TEXT NOT NULL,
  type_name TEXT,
  billing_group TEXT,
  attributes TEXT NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (name, account, region)
);

CREATE INDEX thing_list ON thing (account, region, position);
CREATE INDEX thing_by_type ON thing (account, region, type_name, (position + 0));
CREATE INDEX thing_by_billing_group ON thing (account, region, billing_group, (position + 0));

-- One row for each attribute of a thing; the position is the thing's. The typed value is the name of the thing's type,
-- or nothing, a slash and the value: with a column of its own, a list by both has one index that can answer it.
CREATE TABLE thing_attribute (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  value {ORDERED_TEXT} NOT NULL,
  typed_value {ORDERED_TEXT} NOT NULL,
  position BIGINT NOT NULL,
  PRIMARY KEY (account, region, name, value, position)
);

CREATE INDEX thing_attribute_by_type ON thing_attribute (account, region, name, typed_value, position);
CREATE INDEX thing_attribute_of_thing ON thing_attribute ((position + 0));

-- A path is the names from the root of the hierarchy down to the group, each followed by a slash; a group never moves.
CREATE TABLE thing_group (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name {ORDERED_TEXT} NOT NULL,
  group_id TEXT NOT NULL,
  parent_name TEXT,
  path {ORDERED_TEXT} NOT NULL,
  description TEXT NOT NULL,
  attributes TEXT NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (name, account, region)
);

CREATE INDEX thing_group_list ON thing_group (account, region, name);
CREATE INDEX thing_group_children ON thing_group (account, region, parent_name, name);
CREATE INDEX thing_group_descendants ON thing_group (account, region, path);

-- The path is that of the group: what stands below a group is then one stretch of an index.
CREATE TABLE thing_group_member (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  group_name TEXT NOT NULL,
  path {ORDERED_TEXT} NOT NULL,
  thing_name TEXT NOT NULL,
  UNIQUE (thing_name, group_name, account, region)
);

CREATE INDEX thing_group_members ON thing_group_member (account, region, path, (position + 0));

-- The principal is an ARN. Its type is EXCLUSIVE_THING or NON_EXCLUSIVE_THING.
CREATE TABLE thing_principal (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  thing_name TEXT NOT NULL,
  principal TEXT NOT NULL,
  principal_type TEXT NOT NULL,
  UNIQUE (thing_name, principal, account, region)
);

CREATE INDEX principals_of_thing ON thing_principal (account, region, thing_name, (position + 0));
CREATE INDEX things_of_principal ON thing_principal (account, region, principal, (position + 0));
