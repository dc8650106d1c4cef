-- Not breaking. The names that columns had: changes that were written under one are still to be delivered.
create table hubspot_private.former_columns (
  object text not null,
  property text not null,
  column_name text not null,
  until_at timestamptz not null,
  primary key (object, property, column_name)
);
comment on table hubspot_private.former_columns is
  'Names that the columns of properties had, and until when: a subscription to such a column gets its changes from before.';
