-- Not breaking. Columns follow properties that change: what a column was made for, which type someone chose, and the column that
-- is being filled to take its place.
alter table hubspot_private.properties
  add column made_for text,
  add column chosen_type text,
  add column next_column name,
  add column next_type text,
  add column next_seq bigint,
  add column is_untidy boolean not null default false;
comment on column hubspot_private.properties.made_for is 'HubSpot''s type that its column was made for; another one asks for another column.';
comment on column hubspot_private.properties.chosen_type is 'The column''s type as someone chose it with retype_column(): it stays.';
comment on column hubspot_private.properties.next_column is
  'The column of another type that is being filled, and written beside the old one, until it takes its place.';
comment on column hubspot_private.properties.next_seq is
  'The next column is filled, but for records that entered the fetch queue before this number.';
comment on column hubspot_private.properties.is_untidy is
  'Rows may keep a value of it in _extra that has its place now, or has no place any more.';

-- A type that its column cannot have been made for is a change that was not followed.
update hubspot_private.properties p
set made_for = p.type
where p.column_name is not null and p.column_type = any (case p.type
  when 'number' then '{numeric}'
  when 'bool' then '{boolean}'
  when 'date' then '{date}'
  when 'datetime' then '{timestamptz}'
  when 'enumeration' then '{text,text[]}'
  else '{text}'
end::text[]);

alter table hubspot_private.objects add column held_since timestamptz;
comment on column hubspot_private.objects.held_since is
  'Since when its table waits for a change of columns, because someone holds it: tried again every 10 s.';

-- It can be asked for some properties alone now.
drop function if exists hubspot_private.apply_source(text);

alter table hubspot_private.properties add column unmentioned_at timestamptz;
comment on column hubspot_private.properties.unmentioned_at is
  'When a page of its fill did not mention it: empty everywhere, if definitions read since still have it.';
