-- The last backup that `thingmint backup` has completed: when it began, when its file was durable, and its bytes.
CREATE TABLE last_backup (
  id BIGINT NOT NULL PRIMARY KEY,
  began_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  size BIGINT NOT NULL
);
