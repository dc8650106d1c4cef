-- Health: named checks, each ok or what to do.
create or replace function hubspot_private.health_identity()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select d.differs is null,
    coalesce(d.differs || '; its worker does nothing', format('%s, its own%s', i.database_name, case when i.is_read_only then '; adopted to read only' else '' end)),
    (select e.hint from hubspot_private.errors e where e.code = 'SH005')
  from hubspot_private.installation i
  cross join (select hubspot_private.home_differs() as differs) d;
$$;
comment on function hubspot_private.health_identity() is 'Whether this is the database that was installed, or a copy.';

create or replace function hubspot_private.health_account()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select a.is_connected and t.message is null,
    case
      when a.is_connected then format('connected to portal %s, checked %s%s', a.portal_id, date_trunc('second', a.checked_at), '; but ' || t.message)
      when k.state = 'candidate' then 'a token waits to be checked by a worker' || coalesce(': ' || t.message, '')
      else coalesce(t.message, 'not connected')
    end,
    coalesce(t.hint, 'Run select hubspot.connect(access_token => ''…''), or pg-hubspot connect; a worker must run to check it.')
  from hubspot_private.account a
  left join hubspot_private.credentials k on k.state = 'candidate'
  left join lateral (
    -- What is wrong with the token in use, and a new one that was turned down: that is what is looked for then.
    select string_agg(x.message, '; ' order by x.property desc) as message, (array_agg(x.hint order by x.property))[1] as hint
    from (
      select distinct on (p.property) p.property,
        case p.property when 'token' then '' else 'the new token was not taken: ' end || p.message as message, p.hint
      from hubspot_private.problems p
      where p.object is null and p.property in ('token', 'new token') and p.resolved_at is null
      order by p.property, p.last_seen_at desc
    ) x
  ) t on true;
$$;
comment on function hubspot_private.health_account() is 'Whether a token is in use that HubSpot takes.';

create or replace function hubspot_private.health_token()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Of an OAuth app: it has to be renewed in time.
  select coalesce(not l.is_failing, true),
    case
      when c.id is null then 'none is stored'
      when o.credential_id is null then 'a token that does not end'
      else format('of an OAuth app; %s%s', coalesce(case when o.expires_at > n.at then 'good until ' else 'ended ' end || date_trunc('second', o.expires_at), 'not asked for yet'),
        case when o.is_borrowed then '; it came with a copy, and is not renewed here'
          when not l.is_renewable then '; no worker may renew it'
          when o.failures > 0 then format('; not renewed, tried %s times', o.failures) else '' end)
    end,
    case
      when o.is_borrowed then 'Connect this database with a token or an app of its own; or select hubspot.adopt(read_only => false), if the original is gone.'
      when not l.is_renewable then 'Start a worker without HUBSPOT_WRITES=off, or connect with a private-app token, which does not end.'
      else coalesce((select e.hint from hubspot_private.errors e where e.code = o.failure_code),
        'Nothing to do: it is tried again by itself, and by select hubspot.resume().')
    end
  from (select hubspot_private.clock() as at) n
  left join hubspot_private.credentials c on c.state = 'active'
  left join hubspot_private.oauth o on o.credential_id = c.id
  cross join lateral (
    select coalesce(bool_or(w.may_write), true) as is_renewable
    from hubspot_private.workers w where w.beat_at > n.at - interval '30 seconds'
  ) w
  cross join lateral (
    select w.is_renewable,
      o.credential_id is not null and (
        o.is_borrowed or not w.is_renewable or o.failure_code is not null or o.expires_at <= n.at and o.failures > 0) as is_failing
  ) l;
$$;
comment on function hubspot_private.health_token() is 'Whether the token in use has an end, and is renewed before it.';

create or replace function hubspot_private.health_secrets()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select count(*) filter (where not hubspot_private.is_sealed(s.secret)) = 0,
    case
      when count(*) = 0 then 'no secret is stored'
      when bool_and(hubspot_private.is_sealed(s.secret)) then 'the stored secrets are sealed'
      else 'stored secrets are readable by the owner of this database'
    end,
    'Give every worker a PG_HUBSPOT_KEY (openssl rand -base64 32), and they seal them; or set HUBSPOT_ACCESS_TOKEN in their environment and run select hubspot.disconnect().'
  from hubspot_private.credential_secrets() s;
$$;
comment on function hubspot_private.health_secrets() is 'Whether someone who reads the database could use what is stored.';

create or replace function hubspot_private.health_scopes()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select count(*) = 0,
    coalesce('missing: ' || string_agg(format('%s (%s)', p.what, p.hint), '; ' order by p.what), 'none is missing'),
    'Add the scopes to the app in HubSpot' || case
      when exists (select from hubspot_private.oauth) then ' and authorise it again: npx pg-hubspot connect --oauth'
      else '; a new token may be needed' end || '. Then: select hubspot.resume();'
  from (
    select coalesce(q.object, q.property, 'account') as what, max(rtrim(q.hint, '.')) as hint
    from hubspot_private.problems q
    where q.code = 'SH202' and q.resolved_at is null
    group by 1
  ) p;
$$;
comment on function hubspot_private.health_scopes() is 'Objects that the token may not read, with the scopes that would help.';

create or replace function hubspot_private.health_writes()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Someone chose it: nothing is wrong.
  select true, case
    when not hubspot_private.may_write() then 'off: this database was adopted to read only, or not at all'
    when bool_and(not w.may_write) then 'off: every worker runs with HUBSPOT_WRITES=off'
    when bool_or(not w.may_write) then 'off in some workers: HUBSPOT_WRITES=off'
    else 'on'
  end, null::text
  from hubspot_private.workers w where w.beat_at > hubspot_private.clock() - interval '30 seconds';
$$;
comment on function hubspot_private.health_writes() is 'Whether anything here may write to HubSpot.';

create or replace function hubspot_private.health_sweep()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A worker that has just begun is given time.
  select s.since is null or coalesce(s.done_at, s.since) > n.at - interval '2 minutes',
    coalesce('the last one was done ' || date_trunc('second', n.at - s.done_at) || ' ago', 'none was done yet'),
    'Workers make one every 20 s, and take over what dead ones left: their logs say what fails. One that hangs: select * from pg_stat_activity where query like ''%hubspot_private.sweep%'';'
  from (select hubspot_private.clock() as at) n
  cross join lateral (
    select t.done_at, (
      select min(w.started_at) from hubspot_private.workers w where w.beat_at > n.at - interval '30 seconds') as since
    from hubspot_private.turns t where t.name = 'sweep'
  ) s;
$$;
comment on function hubspot_private.health_sweep() is 'Whether the workers that live sweep.';

create or replace function hubspot_private.health_feed()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- The locks of numbers show to everyone, pg_stat_activity hides whose they are from a plain role. Replication slots hold up no change.
  select f.is_ok,
    case
      when f.is_ok then 'changes can be read when they are committed'
      else format('changes of the last %s reach nobody: transaction %s, which began before them, is not over: %s',
        date_trunc('second', f.lag), f.xid, case
          when p.gid is not null then format('prepared as %L in database %s', p.gid, p.database)
          when l.pid is not null then format('session %s in database %s, of role %s', l.pid, a.datname, a.usename)
          else 'it does not show' end)
    end,
    case
      when p.gid is not null then format('Connected to database %s run rollback prepared %L; or commit prepared.', p.database, p.gid)
      when l.pid is not null then format('End that transaction where it runs; or, as its role or a superuser: select pg_terminate_backend(%s);', l.pid)
      else 'Look again: it may be over by now.'
    end
  from (select g.*, coalesce(g.lag < interval '5 minutes', true) as is_ok from hubspot_private.feed_lag() g) f
  left join pg_locks l on not f.is_ok and l.locktype = 'transactionid' and l.transactionid = f.xid::xid and l.mode = 'ExclusiveLock' and l.granted
  left join pg_stat_activity a on a.pid = l.pid
  left join pg_prepared_xacts p on not f.is_ok and p.transaction = f.xid::xid
  limit 1;
$$;
comment on function hubspot_private.health_feed() is 'Whether changes become final, and whose transaction keeps them from it.';

create or replace function hubspot_private.health_subscriptions()
returns table (ok boolean, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select c.mute is null and not c.is_late,
    case
      when c.mute is not null then format('%s get nothing: changes of %s are not written', c.mute_count, c.mute)
      else format('%s to changes', c.count)
    end || case when c.is_late then format('; late by up to %s', date_trunc('second', c.lag)) else '' end,
    case
      when c.mute is not null then format('Run select hubspot.enable_changes(%L); or end them: select hubspot.off_change(%s);', c.mute_object, c.mute_id)
      else 'See table hubspot.change_subscriptions: what it names fails, or what check feed or worker says holds them up.'
    end
  from (
    select count(*) as count, count(*) filter (where not o.has_changes) as mute_count, max(u.lag) as lag,
      string_agg(distinct s.object, ', ') filter (where not o.has_changes) as mute,
      min(s.object) filter (where not o.has_changes) as mute_object, min(s.id) filter (where not o.has_changes) as mute_id,
      coalesce(max(u.lag) > interval '5 minutes', false) as is_late
    from hubspot_private.subscriptions s
    left join hubspot_private.objects o on o.name = s.object
    left join hubspot.change_subscriptions u on u.id = s.id
  ) c;
$$;
comment on function hubspot_private.health_subscriptions() is 'Whether what hubspot.on_change() asked for is written, and delivered in time.';

create or replace function hubspot.health()
returns table (name text, ok boolean, message text, hint text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select c.name, c.ok, c.message, case when not c.ok then c.hint end
  from (
    select 1, 'identity', h.ok, h.message, h.hint from hubspot_private.health_identity() h
    union all
    select 2, 'account', h.ok, h.message, h.hint from hubspot_private.health_account() h
    union all
    select 3, 'token', h.ok, h.message, h.hint from hubspot_private.health_token() h
    union all
    select 4, 'scopes', h.ok, h.message, h.hint from hubspot_private.health_scopes() h
    union all
    select 5, 'secrets', h.ok, h.message, h.hint from hubspot_private.health_secrets() h
    union all
    select 6, 'worker', count(*) > 0, format('%s running', count(*)), 'Start one with: npx pg-hubspot worker'
    from hubspot_private.workers w where w.beat_at > hubspot_private.clock() - interval '30 seconds'
    union all
    select 7, 'sweep', h.ok, h.message, h.hint from hubspot_private.health_sweep() h
    union all
    select 8, 'writes', h.ok, h.message, h.hint from hubspot_private.health_writes() h
    union all
    select 9, 'objects', count(*) filter (where s.state = 'parked') = 0,
      format('%s tracked, %s parked', count(*), count(*) filter (where s.state = 'parked')),
      'See select * from hubspot.problems where resolved_at is null;'
    from hubspot.status s
    union all
    select 10, 'budgets', coalesce(bool_and(hubspot_private.quota_slowness(b, hubspot_private.clock()) < 2), true),
      format('%s requests left today', (select q.remaining from hubspot.quota q where q.budget = 'daily')),
      'HubSpot has just refused requests, another app may be using the limits: table hubspot.quota; they recover by themselves.'
    from hubspot_private.budgets b
    union all
    select 11, 'problems', count(*) = 0, format('%s open', count(*)), 'See select * from hubspot.problems where resolved_at is null;'
    from hubspot_private.problems p where p.resolved_at is null
    union all
    select 12, 'feed', h.ok, h.message, h.hint from hubspot_private.health_feed() h
    union all
    select 13, 'subscriptions', h.ok, h.message, h.hint from hubspot_private.health_subscriptions() h
  ) c (n, name, ok, message, hint)
  order by c.n;
$$;
comment on function hubspot.health() is
  'Checks by name: identity, account, token, scopes, secrets, worker, sweep, writes, objects, budgets, problems, feed, subscriptions; each ok or with a hint what to do.';
