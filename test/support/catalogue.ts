import { query } from './global-setup.ts'

/** One thing that the product made, as Postgres shows it. */
export type Entry = { kind: string; name: string; body: string | null }

/** Everything in the product's schemas, as the catalogue knows it; not what depends on when or where. */
export function catalogue(url: string): Promise<Entry[]> {
  return query<Entry>(
    url,
    `with ours as (select oid, nspname, nspacl from pg_namespace where nspname in ('hubspot', 'hubspot_private')),
     relations as (select c.* from pg_class c join ours on ours.oid = c.relnamespace)
     select 'schema' as kind, o.nspname::text as name, o.nspacl::text as body from ours o
     union all
     select 'relation', c.oid::regclass::text,
       concat_ws(' ', c.relkind, c.relpersistence, c.reloptions::text, c.relacl::text, obj_description(c.oid, 'pg_class'), pg_get_viewdef(c.oid))
     from relations c where c.relkind in ('r', 'v', 'S', 'p', 'c')
     union all
     select 'column', format('%s.%s', a.attrelid::regclass, a.attname),
       concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attacl::text,
         pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
     from pg_attribute a join relations c on c.oid = a.attrelid
     left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'c')
     union all
     select 'sequence', s.seqrelid::regclass::text, concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqcycle)
     from pg_sequence s join relations c on c.oid = s.seqrelid
     union all
     select 'index', i.indexrelid::regclass::text, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid)
     from pg_index i join relations c on c.oid = i.indrelid
     union all
     select 'constraint', format('%s %s', o.conrelid::regclass, o.conname), concat_ws(' ', pg_get_constraintdef(o.oid), obj_description(o.oid, 'pg_constraint'))
     from pg_constraint o join ours on ours.oid = o.connamespace
     union all
     select 'trigger', format('%s %s', t.tgrelid::regclass, t.tgname), concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
     from pg_trigger t join relations c on c.oid = t.tgrelid where not t.tgisinternal
     union all
     select 'type', t.oid::regtype::text, concat_ws(' ', t.typtype, t.typacl::text, obj_description(t.oid, 'pg_type'))
     from pg_type t join ours on ours.oid = t.typnamespace where t.typtype <> 'b' and not exists (select from relations c where c.oid = t.typrelid and c.relkind <> 'c')
     union all
     select 'routine', p.oid::regprocedure::text,
       concat_ws(' ', pg_get_functiondef(p.oid), p.proacl::text, obj_description(p.oid, 'pg_proc'))
     from pg_proc p join ours on ours.oid = p.pronamespace where p.prokind in ('f', 'p')
     union all
     select 'privileges', concat_ws(' ', d.defaclnamespace::regnamespace, d.defaclobjtype), d.defaclacl::text
     from pg_default_acl d join ours on ours.oid = d.defaclnamespace
     union all
     select 'rows', 'errors', string_agg(e::text, e'\\n' order by e.code) from hubspot_private.errors e
     union all
     select 'rows', 'code_objects', string_agg(o.name, e'\\n' order by o.name) from hubspot_private.code_objects o
     union all
     select 'rows', 'objects', string_agg(concat_ws(' ', o.name, o.object_type_id, o.table_name, o.modified_property), e'\\n' order by o.name)
     from hubspot_private.objects o
     order by 1, 2`,
  )
}
