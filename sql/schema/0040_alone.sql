-- Not breaking. Went: a read that a query waits for no longer looks who else of us is writing, it is taken in alone.
drop function if exists hubspot_private.live_wait(hubspot_private.objects, jsonb);
