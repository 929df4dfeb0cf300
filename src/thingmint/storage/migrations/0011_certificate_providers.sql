-- AWS IoT knows one operation that a provider may serve, and one provider for each operation.

CREATE TABLE certificate_provider (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  function_arn TEXT NOT NULL,
  operation TEXT NOT NULL,
  client_token TEXT,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  UNIQUE (name, account, region),
  UNIQUE (account, region, operation)
);
