-- The latest transfer of a certificate is JSON. While it is pending, transfer_to names the account that may accept it.

ALTER TABLE certificate ADD COLUMN previous_account TEXT;
ALTER TABLE certificate ADD COLUMN transfer_to TEXT;
ALTER TABLE certificate ADD COLUMN transfer TEXT;

CREATE INDEX certificate_incoming ON certificate (transfer_to, region, position{SUMMARY_COLUMNS})
  WHERE transfer_to IS NOT NULL;
CREATE INDEX certificate_outgoing ON certificate (account, region, position) WHERE transfer_to IS NOT NULL;
