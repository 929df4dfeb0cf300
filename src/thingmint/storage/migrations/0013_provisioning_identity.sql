-- A claim belongs to one template, not to whatever has its name: templates get an identity that is never given twice.
-- Templates that exist keep their row's number as theirs; AUTOINCREMENT and IDENTITY never give it again.
ALTER TABLE provisioning_template ADD COLUMN generation_id TEXT NOT NULL DEFAULT '';

UPDATE provisioning_template SET generation_id = 'row ' || CAST(position AS TEXT);

ALTER TABLE claim_certificate ADD COLUMN template_generation_id TEXT NOT NULL DEFAULT '';

UPDATE claim_certificate SET template_generation_id = coalesce(
  (SELECT t.generation_id FROM provisioning_template t
   WHERE t.name = claim_certificate.template_name AND t.account = claim_certificate.account
     AND t.region = claim_certificate.region), '');

-- What an ownership token was used for: the digest of the request, and its answer under the service's seal. Both go with
-- the row when the token has ended.
ALTER TABLE certificate_ownership ADD COLUMN request_digest TEXT;

ALTER TABLE certificate_ownership ADD COLUMN sealed_answer {BLOB};
