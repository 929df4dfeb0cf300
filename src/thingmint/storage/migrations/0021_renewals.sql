-- Certificates that devices have renewed, and until when the old one stays ACTIVE beside the new one. A row goes when that
-- time is over. The digest of the new certificate's key tells a request that is repeated, because its answer was lost.
CREATE TABLE certificate_renewal (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  certificate_id TEXT NOT NULL,
  key_digest TEXT NOT NULL,
  renewed_as TEXT NOT NULL,
  overlap_ends_at BIGINT NOT NULL,
  UNIQUE (account, region, certificate_id, key_digest)
);

CREATE INDEX certificate_renewal_end ON certificate_renewal (overlap_ends_at);
