-- Not breaking. How a list writes what is empty was also taken from reads by id beside it, and the other way round: it is learned anew.
drop function if exists hubspot_private.is_explicit(hubspot_private.objects, text);
drop function if exists hubspot_private.empty_learn(hubspot_private.objects, text, boolean);
update hubspot_private.objects set is_list_explicit = null, is_empty_explicit = case when has_search then is_empty_explicit end;
