-- A row for each type of event that was ever switched on or off; types without one are off.

CREATE TABLE event_configuration (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  event_type TEXT NOT NULL,
  enabled BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  PRIMARY KEY (account, region, event_type)
);
