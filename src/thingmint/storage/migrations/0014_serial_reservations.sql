-- Serial numbers that were reserved before a signature which is made outside of the service's process. A reservation is
-- deleted with the insertion of its certificate. One that is never used stays, so that nothing else gets its number.
CREATE TABLE serial_reservation (
  position {PK},
  issuer_id TEXT NOT NULL,
  serial_number TEXT NOT NULL,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  reserved_at BIGINT NOT NULL,
  abandoned_at BIGINT,
  UNIQUE (issuer_id, serial_number)
);

CREATE INDEX serial_reservation_open ON serial_reservation (reserved_at) WHERE abandoned_at IS NULL;
