-- Not breaking. What the change triggers ask comes with one column more: sql/code makes it anew.
drop function if exists hubspot_private.change_source(integer);
