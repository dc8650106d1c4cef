-- Not breaking. They tell more now: what rows someone holds, what to do about a failure, and which columns are being filled.
drop function if exists hubspot_private.live_apply(text, integer, jsonb, timestamptz, jsonb);
drop function if exists hubspot_private.live_look(text, text, integer, bigint, timestamptz);
drop function if exists hubspot_private.live_tables(text[]);
