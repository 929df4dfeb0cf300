-- What nodes of one database tell each other. A change gets its position after its commit, from a node that looks for
-- changes, one node at a time: so positions are in the order in which changes became visible, on any engine.

DROP TABLE resource_change;

CREATE TABLE registry_change (
  id {PK},
  resource TEXT NOT NULL,
  position BIGINT
);

CREATE UNIQUE INDEX registry_change_position ON registry_change (position);
CREATE INDEX registry_change_unplaced ON registry_change (id) WHERE position IS NULL;

-- A principal that has no row of its own: whoever counts its policies changes this one.
CREATE TABLE principal_lock (
  principal TEXT NOT NULL PRIMARY KEY
);

CREATE TABLE node (
  node_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  data_plane TEXT NOT NULL,
  settings TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  read_to BIGINT NOT NULL
);

-- Messages from nodes to one node, or to all where there is no recipient.
CREATE TABLE node_message (
  id {PK},
  position BIGINT,
  recipient TEXT,
  origin TEXT NOT NULL,
  kind TEXT NOT NULL,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  subject TEXT NOT NULL,
  body {BLOB} NOT NULL
);

CREATE UNIQUE INDEX node_message_position ON node_message (position);
CREATE INDEX node_message_unplaced ON node_message (id) WHERE position IS NULL;

-- Which node has which connection. What a crash of the database empties, nodes write again: each has a row of itself
-- here, whose session is the node's id, and looks whether it is there.
CREATE {UNLOGGED}TABLE node_connection (
  session_id TEXT NOT NULL PRIMARY KEY,
  node_id TEXT NOT NULL,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  client_id TEXT NOT NULL,
  certificate_id TEXT NOT NULL,
  opened_at BIGINT NOT NULL,
  is_current BIGINT NOT NULL,
  facts {BLOB} NOT NULL,
  will {BLOB},
  will_delay BIGINT NOT NULL,
  will_due_at BIGINT
);

CREATE UNIQUE INDEX node_connection_of_client ON node_connection (account, region, client_id) WHERE is_current = 1;
CREATE INDEX node_connection_by_node ON node_connection (node_id, session_id);

-- How the last connection of a client ended.
CREATE {UNLOGGED}TABLE client_ending (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  client_id TEXT NOT NULL,
  ended_at BIGINT NOT NULL,
  facts {BLOB} NOT NULL,
  PRIMARY KEY (account, region, client_id)
);

CREATE INDEX client_ending_by_time ON client_ending (account, region, ended_at);
