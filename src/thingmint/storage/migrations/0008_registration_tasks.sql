-- Bulk registrations. Of the tasks that run there is one in an account and region. A task belongs to its owner, a process,
-- until another one takes it after the lease has ended; who writes for a task shows that it is the owner.

CREATE TABLE registration_task (
  position {PK},
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  task_id TEXT NOT NULL,
  template_body TEXT NOT NULL,
  bucket TEXT NOT NULL,
  object_key TEXT NOT NULL,
  input_size BIGINT NOT NULL,
  input_stamp BIGINT NOT NULL,
  role_arn TEXT NOT NULL,
  principal_arn TEXT NOT NULL,
  status TEXT NOT NULL,
  message TEXT,
  created_at BIGINT NOT NULL,
  modified_at BIGINT NOT NULL,
  input_offset BIGINT NOT NULL,
  input_lines BIGINT NOT NULL,
  successes BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  results_size BIGINT NOT NULL,
  errors_size BIGINT NOT NULL,
  owner TEXT NOT NULL,
  leased_until BIGINT NOT NULL,
  UNIQUE (task_id, account, region)
);

CREATE INDEX registration_task_list ON registration_task (account, region, position);
CREATE INDEX registration_task_by_status ON registration_task (account, region, status, position);
CREATE INDEX registration_task_age ON registration_task (created_at);
CREATE UNIQUE INDEX registration_task_running ON registration_task (account, region)
  WHERE status IN ('InProgress', 'Cancelling');

-- Outcomes of lines, each committed with the device that it tells of, until they are in the reports.
CREATE TABLE registration_outcome (
  task_id TEXT NOT NULL,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  line BIGINT NOT NULL,
  succeeded BIGINT NOT NULL,
  report TEXT NOT NULL,
  PRIMARY KEY (task_id, account, region, line)
);
