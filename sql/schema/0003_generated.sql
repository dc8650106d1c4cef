-- Not breaking. What a table's functions were generated from is known; the text of a statement is no longer kept.
alter table hubspot_private.apply_statements add column generator text not null default '';
-- squawk-ignore ban-drop-column
alter table hubspot_private.apply_statements drop column differs;
comment on table hubspot_private.apply_statements is
  'What each mirror table''s generated functions were made for, and from which text of the generator.';
