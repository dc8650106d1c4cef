import pg from 'pg'
import { Misuse } from '../lib/errors.ts'

/** Texts of SQL files: of schema/, those that ran here and those that are to; of code/. */
type Texts = { applied: string[]; pending: string[]; code: string[] }

/** What a queue's schema cannot be called, in words; undefined where it can. */
export function queueSchemaFault(name: string): string | undefined {
  const isTaken = /^(hubspot|hubspot_private|hubspot_live|information_schema|pg_.*)$/.test(name)
  return isTaken ? `cannot be ${name}: that schema is pg-hubspot's or PostgreSQL's own` : undefined
}

/** Misuse SH002 where the queue's schema is another role's and closed to this one. */
export async function checkQueueSchema(client: pg.Client, schema: string): Promise<void> {
  const { rows } = await client.query<{ owner: string; is_filled: boolean; grant: string }>(
    `select pg_get_userbyid(n.nspowner) as owner, exists (select from pg_class c where c.relnamespace = n.oid) as is_filled,
       format('grant usage, create on schema %I to %I;', n.nspname, current_user) as grant
     from pg_namespace n
     left join pg_class m on m.relnamespace = n.oid and m.relname = 'migrations'
     where n.nspname = $1 and not (
       has_schema_privilege(n.oid, 'usage')
       and case when m.oid is null then has_schema_privilege(n.oid, 'create') else has_table_privilege(m.oid, 'select') end)`,
    [schema],
  )
  const [closed] = rows
  if (closed === undefined) return
  throw new Misuse('SH002', `schema ${schema} belongs to role ${closed.owner}`, {
    hint: `${closed.is_filled ? 'Connect as that role' : `As that role run: ${closed.grant}`} or let the queue have a schema of its own: pg-hubspot install --queue-schema hubspot_queue`,
  })
}

/** Misuse SH020 where something of another's has a name that installing makes: it is neither replaced nor altered. */
export async function checkNames(client: pg.Client, { applied, pending, code }: Texts): Promise<void> {
  const isNoted = await hasNotes(client)
  // A version that noted nothing made the views that this one makes.
  const others = await othersIn(client, ['hubspot', 'hubspot_private'], [...applied, ...(applied.length > 0 && !isNoted ? code : [])], isNoted)
  const wanted = new Set(relations([...pending, ...code]))
  const clash = others.find(({ name }) => wanted.has(name))
  if (clash === undefined) return
  throw new Misuse('SH020', `${clash.what} is there already, and is not pg-hubspot's`, {
    hint: `Rename it, or move it to another schema: alter ${clash.what} set schema public; Then run this again.`,
  })
}

/** Misuse SH104 that names what of others' would be dropped too: in our schemas, or elsewhere and resting on them. Its session has the pinned path, as migrate.ts sets it. */
export async function checkOthers(client: pg.Client, texts: string[]): Promise<void> {
  const others = (await othersIn(client, ['hubspot', 'hubspot_live'], texts, await hasNotes(client))).map(({ what }) => what)
  if (others.length > 0) {
    throw new Misuse('SH104', `schema hubspot holds what is not pg-hubspot's: ${list(others)}`, {
      hint: `Nothing was removed. Move it to another schema, as in alter ${others[0]} set schema public; or drop it too: pg-hubspot uninstall --with-others`,
    })
  }
  const resting = await restingOn(client, ['hubspot', 'hubspot_private', 'hubspot_live'])
  if (resting.length > 0) {
    throw new Misuse('SH104', `what is not pg-hubspot's rests on its tables and functions: ${list(resting)}`, {
      hint: `Nothing was removed. Change or drop it, or let it be dropped too: pg-hubspot uninstall --with-others`,
    })
  }
}

const list = (names: string[]) => `${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}`

/** What of other schemas goes when these do: views, foreign keys, defaults, functions. */
async function restingOn(client: pg.Client, schemas: string[]): Promise<string[]> {
  const { rows } = await client.query<{ what: string }>(
    `with ours as (select n.oid from pg_namespace n where n.nspname = any ($1)),
     members (classid, objid) as (
       select 'pg_class'::regclass, c.oid from pg_class c where c.relnamespace in (table ours)
       union all select 'pg_proc'::regclass, p.oid from pg_proc p where p.pronamespace in (table ours)
       union all select 'pg_type'::regclass, t.oid from pg_type t where t.typnamespace in (table ours))
     select distinct case
         when w.oid is not null then pg_describe_object('pg_class'::regclass, w.ev_class, 0)
         else pg_describe_object(d.classid, d.objid, d.objsubid) end as what
     from pg_depend d
     join members m on (m.classid, m.objid) = (d.refclassid, d.refobjid)
     left join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
     left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
     left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
     left join pg_trigger g on d.classid = 'pg_trigger'::regclass and g.oid = d.objid
     left join pg_policy y on d.classid = 'pg_policy'::regclass and y.oid = d.objid
     left join pg_class c on c.oid = coalesce(w.ev_class, f.adrelid, k.conrelid, g.tgrelid, y.polrelid, case d.classid when 'pg_class'::regclass then d.objid end)
     left join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
     left join pg_type t on d.classid = 'pg_type'::regclass and t.oid = d.objid
     where d.deptype = 'n' and coalesce(c.relnamespace, p.pronamespace, t.typnamespace) not in (table ours)
     order by what`,
    [schemas],
  )
  return rows.map(({ what }) => what)
}

/** Names of tables and views that SQL files make, with their schema. */
function relations(texts: string[]): string[] {
  return texts.flatMap((text) => [...text.matchAll(/^create (?:or replace )?(?:unlogged )?(?:table|view) (?:if not exists )?(hubspot(?:_private)?\.\w+)/gm)].map(([, name]) => name!))
}

/** Whether the installed version noted the functions and views that it made. */
async function hasNotes(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ is_there: boolean }>(`select to_regclass('hubspot_private.code_objects') is not null as is_there`)
  return rows[0]!.is_there
}

/**
 * What stands in these schemas and is no mirror table, no live one, not made by these files, and not noted by the installed
 * version. Where that noted nothing, its functions cannot be told from others': then relations alone.
 */
async function othersIn(client: pg.Client, schemas: string[], texts: string[], isNoted: boolean): Promise<{ what: string; name: string }[]> {
  const { rows } = await client.query<{ what: string; name: string }>(
    `select format('%s %s', i.type, case when d.classid = 'pg_proc'::regclass then d.objid::regprocedure::text else i.identity end) as what,
       i.identity as name
     from pg_depend d
     join pg_namespace n on n.oid = d.refobjid
     cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) i
     where d.refclassid = 'pg_namespace'::regclass and n.nspname = any ($1) and d.deptype = 'n'
       -- What goes with something else: an identity column's sequence, a partition, what an extension made.
       and not exists (select from pg_depend o where (o.classid, o.objid) = (d.classid, d.objid) and o.deptype in ('a', 'i', 'e'))
       and not (d.classid = 'pg_class'::regclass and (i.identity = any ($2)
         or exists (
           select from pg_trigger t
           join pg_proc p on p.oid = t.tgfoid
           where t.tgrelid = d.objid and p.pronamespace = to_regnamespace('hubspot_private') and p.proname in ('refuse_write', 'refuse_edge_write'))
         or exists (
           select from pg_foreign_table f
           join pg_foreign_server s on s.oid = f.ftserver
           where f.ftrelid = d.objid and s.srvname = 'hubspot_live' and n.nspname = 'hubspot_live')))
       and ${isNoted
      ? `not exists (
         select from hubspot_private.code_objects c
         where c.name = case d.classid
           when 'pg_proc'::regclass then 'routine ' || d.objid::regprocedure
           when 'pg_class'::regclass then 'view ' || d.objid::regclass end)`
      : `d.classid = 'pg_class'::regclass`}
     order by 1`,
    [schemas, relations(texts)],
  )
  return rows
}
