-- Not breaking. Up to when the mirror is complete is kept: it holds whatever becomes of the streams that it was found by.
create table hubspot_private.completeness (
  object text primary key references hubspot_private.objects on update cascade on delete cascade,
  complete_until timestamptz not null
);
comment on table hubspot_private.completeness is
  'HubSpot''s time up to which the mirror holds every change of a record, found late ones too. Never goes back while an object is tracked.';

insert into hubspot_private.completeness (object, complete_until)
select s.object, to_timestamp(min((s.cursor ->> 'until')::bigint) / 1000.0)
from hubspot_private.streams s
join hubspot_private.objects o on o.name = s.object
where s.stream = 'settle' and o.loaded_at is not null
group by s.object
having bool_and(s.cursor ? 'until');
