-- A version's number is never given twice: last_version only grows. The counter is how the limit of templates holds when
-- several are created at once: its row is locked by whoever changes it.

CREATE TABLE provisioning_template (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  description TEXT,
  enabled BIGINT NOT NULL,
  role_arn TEXT NOT NULL,
  hook_target_arn TEXT,
  hook_payload_version TEXT,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  default_version BIGINT NOT NULL,
  last_version BIGINT NOT NULL,
  UNIQUE (name, account, region)
);

CREATE INDEX provisioning_template_list ON provisioning_template (account, region, position);

CREATE TABLE provisioning_template_count (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  templates BIGINT NOT NULL,
  PRIMARY KEY (account, region)
);

CREATE TABLE provisioning_template_version (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  template_name TEXT NOT NULL,
  version BIGINT NOT NULL,
  body TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (template_name, version, account, region)
);

CREATE INDEX provisioning_template_version_list
  ON provisioning_template_version (account, region, template_name, position);

-- Certificates of CreateProvisioningClaim. They are not in the registry: what recognises a device looks here second.
CREATE TABLE claim_certificate (
  certificate_id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  template_name TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX claim_certificate_of_template ON claim_certificate (account, region, template_name);
CREATE INDEX claim_certificate_expiry ON claim_certificate (expires_at);

-- Certificates that a device was given together with an ownership token, until the token's end: what is unused then goes.
CREATE TABLE certificate_ownership (
  certificate_id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX certificate_ownership_expiry ON certificate_ownership (expires_at);
