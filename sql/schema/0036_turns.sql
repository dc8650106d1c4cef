-- Not breaking. Whose turn it is says a lock that only this product can take: of an advisory lock whoever may log in could take it.
create table hubspot_private.turns (
  name text primary key,
  done_at timestamptz
);
insert into hubspot_private.turns (name) values ('sweep'), ('forecast'), ('changes');
insert into hubspot_private.turns (name) select format('deliver %s', s.id) from hubspot_private.subscriptions s;
comment on table hubspot_private.turns is
  'What only one may do at a time holds its row: the sweep, the forecast, keeping the feed''s days, delivering to a subscription.';
comment on column hubspot_private.turns.done_at is 'When the sweep was last done.';

-- A lock of a row would be written, and give its transaction a number before it has to wait.
do $$
begin
  for n in 0..31 loop
    execute format('create table hubspot_private.lock_%s ()', n);
    execute format('comment on table hubspot_private.lock_%s is %L', n,
      format('Empty, for hubspot_private.object_lock(): locked for objects whose number divided by 32 leaves %s.', n));
  end loop;
end;
$$;
