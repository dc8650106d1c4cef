-- Nobody but the owner runs anything that was not granted; then what was granted is given again, new relations included.
revoke all on all functions in schema hubspot_private from public;
revoke all on all routines in schema hubspot from public;
select hubspot_private.grants_apply();
