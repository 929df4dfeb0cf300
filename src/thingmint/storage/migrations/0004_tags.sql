-- The resource is an ARN. What is deleted takes its tags with it, in the same transaction.

CREATE TABLE tag (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  resource TEXT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (account, region, resource, tag_key)
);
