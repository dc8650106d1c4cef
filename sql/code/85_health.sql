-- Health: named checks, each ok or what to do.
create or replace function hubspot.health()
returns table (name text, ok boolean, message text, hint text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select c.name, c.ok, c.message, case when not c.ok then c.hint end
  from (
    select 1, 'account', a.is_connected and t.message is null,
      case
        when a.is_connected then format('connected to portal %s, checked %s%s', a.portal_id, date_trunc('second', a.checked_at), '; but ' || t.message)
        when k.state = 'candidate' then 'a token waits to be checked by a worker' || coalesce(': ' || t.message, '')
        else coalesce(t.message, 'not connected')
      end,
      coalesce(t.hint, 'Run select hubspot.connect(access_token => ''…''), or pg-hubspot connect; a worker must run to check it.')
    from hubspot_private.account a
    left join hubspot_private.credentials k on k.state = 'candidate'
    left join lateral (
      -- What is wrong with the token in use comes before a new one that was turned down.
      select case p.property when 'token' then '' else 'the new token was not taken: ' end || p.message as message, p.hint
      from hubspot_private.problems p
      where p.object is null and p.property in ('token', 'new token') and p.resolved_at is null
      order by p.property desc, p.last_seen_at desc
      limit 1
    ) t on true
    union all
    select 2, 'worker', count(*) > 0, format('%s running', count(*)), 'Start one with: npx pg-hubspot worker'
    from hubspot_private.workers w where w.beat_at > hubspot_private.clock() - interval '30 seconds'
    union all
    select 3, 'secrets', count(*) = 0,
      case when count(*) = 0 then 'no secret is stored' else 'the stored token is readable by the owner of this database' end,
      'Set HUBSPOT_ACCESS_TOKEN in the worker''s environment and run select hubspot.disconnect(), if that is too much.'
    from hubspot_private.credentials
    union all
    select 4, 'objects', count(*) filter (where s.state = 'parked') = 0,
      format('%s tracked, %s parked', count(*), count(*) filter (where s.state = 'parked')),
      'See select * from hubspot.problems where resolved_at is null;'
    from hubspot.status s
    union all
    select 5, 'budgets', coalesce(bool_and(hubspot_private.quota_slowness(b, hubspot_private.clock()) < 2), true),
      format('%s requests left today', (select q.remaining from hubspot.quota q where q.budget = 'daily')),
      'HubSpot has just refused requests, another app may be using the limits: table hubspot.quota; they recover by themselves.'
    from hubspot_private.budgets b
    union all
    select 6, 'problems', count(*) = 0, format('%s open', count(*)), 'See select * from hubspot.problems where resolved_at is null;'
    from hubspot_private.problems p where p.resolved_at is null
  ) c (n, name, ok, message, hint)
  order by c.n;
$$;
comment on function hubspot.health() is 'Checks by name: account, worker, secrets, objects, budgets, problems; each ok or with a hint what to do.';
