-- The issuers of device certificates. The table decides which of them is active, on any number of nodes.
-- A PENDING issuer waits for its certificate, so it has no chain yet and no issuer_id.
CREATE TABLE issuer (
  position {PK},
  reference TEXT NOT NULL UNIQUE,
  issuer_id TEXT UNIQUE,
  status TEXT NOT NULL,
  key_type TEXT NOT NULL,
  key_place TEXT NOT NULL,
  sealed_key {BLOB},
  token_uri TEXT,
  public_key TEXT,
  chain_pem TEXT NOT NULL,
  profile TEXT,
  created_at BIGINT NOT NULL,
  activated_at BIGINT,
  retired_at BIGINT
);

CREATE UNIQUE INDEX issuer_one_active ON issuer (status) WHERE status = 'ACTIVE';
