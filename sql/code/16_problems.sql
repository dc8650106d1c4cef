-- Problems: what went wrong in the background, open until it heals.
create or replace function hubspot_private.problem_report(
  code text, object text, message text default null, hint text default null,
  record_id bigint default null, property text default null
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into hubspot_private.problems as p
    (object, record_id, property, code, message, hint, first_seen_at, last_seen_at)
  select nullif(problem_report.object, '*'), problem_report.record_id, problem_report.property, e.code,
    coalesce(problem_report.message, hubspot_private.fill(e.message, array[problem_report.object])),
    coalesce(problem_report.hint, hubspot_private.fill(e.hint, array[problem_report.object])),
    hubspot_private.clock(), hubspot_private.clock()
  from hubspot_private.errors e
  where e.code = problem_report.code
  on conflict (coalesce(object, ''), coalesce(record_id, 0), coalesce(property, ''), code)
    where resolved_at is null
  do update set
    message = excluded.message, hint = excluded.hint,
    last_seen_at = excluded.last_seen_at, count = p.count + 1;
$$;
comment on function hubspot_private.problem_report(text, text, text, text, bigint, text) is
  'Opens a problem, or counts it again while it is open.';

create or replace function hubspot_private.problem_resolve(
  codes text[], object text, record_id bigint default null, property text default null
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.problems p
  set resolved_at = hubspot_private.clock()
  where p.resolved_at is null
    and coalesce(p.object, '*') = problem_resolve.object
    and p.code = any (problem_resolve.codes)
    and (problem_resolve.record_id is null or p.record_id = problem_resolve.record_id)
    and (problem_resolve.property is null or p.property = problem_resolve.property);
$$;
comment on function hubspot_private.problem_resolve(text[], text, bigint, text) is
  'Closes the open problems of these codes, of one record or property where named.';
