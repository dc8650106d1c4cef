-- Not breaking. What of an answer was repaired is told with it, so that its problem is in the page's transaction.
drop function if exists hubspot_private.step_commit(text, text, integer, bigint, jsonb, jsonb, integer, timestamptz, timestamptz, jsonb, text, jsonb, integer, boolean);
drop function if exists hubspot_private.unkept_statement(text);
