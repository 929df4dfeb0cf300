-- The files of the service's own authorities, for nodes that join; PostgreSQL only. The sealing key is sealed by the
-- passphrase of the keys, every other content by the sealing key. A key without content is one that was taken out.
CREATE TABLE authority_copy (
  name TEXT NOT NULL PRIMARY KEY,
  issuer_id TEXT,
  content {BLOB} NOT NULL
);

CREATE INDEX authority_copy_of_issuer ON authority_copy (issuer_id) WHERE issuer_id IS NOT NULL;
