-- The resource is an ARN, which names account and region. What is deleted takes its tags with it, in the same transaction.

CREATE TABLE tag (
  resource {ORDERED_TEXT} NOT NULL,
  tag_key {ORDERED_TEXT} NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (resource, tag_key)
);
