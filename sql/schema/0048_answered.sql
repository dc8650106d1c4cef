-- Not breaking. A record's modified date may be later than its updatedAt: that a read has shown that date is remembered, or it would be
-- asked for by each settle window.
alter table hubspot_private.hints add column answered timestamptz;
comment on column hubspot_private.hints.answered is
  'The row''s updatedAt by the read that showed this version, which is later than that: nothing is asked for while the row is no older. Null: none has shown it.';
