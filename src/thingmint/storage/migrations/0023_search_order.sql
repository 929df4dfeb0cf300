-- Many certificates end at the same moment or have the same common name. A page that starts among them must not walk through
-- all of them: as in 0019, the expression keeps SQLite from the order of positions, which statistics can make it prefer.

DROP INDEX certificate_by_common_name;
DROP INDEX certificate_by_end;

CREATE INDEX certificate_by_common_name ON certificate (account, region, common_name, (position + 0))
  WHERE common_name IS NOT NULL;
CREATE INDEX certificate_by_end ON certificate (account, region, not_after, (position + 0));
