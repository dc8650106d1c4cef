-- Not breaking. A call that ends its session is told from a server that is away, and holds up its record alone.
drop function if exists hubspot_private.deliver_calls(hubspot_private.subscriptions, boolean);
drop function if exists hubspot_private.deliver_begin();
drop function if exists hubspot_private.deliver_step(bigint, boolean);
drop function if exists hubspot_private.step_commit(text, text, integer, bigint, jsonb, jsonb, integer, timestamptz, timestamptz, jsonb, text, jsonb, integer, boolean, bigint[]);
