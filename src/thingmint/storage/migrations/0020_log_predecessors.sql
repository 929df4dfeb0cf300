-- Logs that this one goes on from: a restore from a backup after which changes may have been lost gives the log another
-- name and key, so that no index of a log is ever given to two leaves. The tree up to `size` is the same.
CREATE TABLE log_predecessor (
  position {PK},
  origin TEXT NOT NULL,
  public_key {BLOB} NOT NULL,
  size BIGINT NOT NULL,
  restored_at BIGINT NOT NULL
);
