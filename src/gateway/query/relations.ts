import type { LiveSession } from '../live.ts'
import type { Relation } from '../query.ts'
import { PLAIN } from './ids.ts'
import { pinned } from './pinned.ts'

/** What names of relations mean to a session, by its search path, rights and views. */
export type Meant = {
  relations: readonly {
    /** As {@link nameOf} writes it. */
    name: string
    /** The table of schema hubspot that it is itself; else it is a view of such, a parent, or none of ours. */
    itself: string | undefined
    /** Some of its rows may be hidden from whoever asks, or others be shown with them. */
    isFiltered: boolean
    /** A materialized view: it shows what it stored. */
    isStored: boolean
    /** It, and whatever it is a view of, or a policy of its rows reads, each as the role that reads it there. */
    mayRead: boolean
    /** The tables of schema hubspot that it is, is a view or a parent of, or that a policy of its rows reads. */
    tables: readonly string[]
    /** The columns of them that views and policies name, as `table.column`; `table.*` where these take whole rows as values. */
    columns: readonly string[]
  }[]
  /** `hubspot.max_age` of the session; ms. */
  maxAgeMs: number
  /** The transaction keeps the snapshot that its first query takes. */
  keepsSnapshot: boolean
  /** By their names alone, types are Postgres' own: the session has no others of that name before them. */
  hasPlainTypes: boolean
}

const MAX_AGE = `extract(epoch from case when pg_catalog.current_setting('hubspot.max_age', true) <> ''
  then pg_catalog.current_setting('hubspot.max_age', true)::interval end) * 1000`
const HAS_PLAIN_TYPES = [...PLAIN].map((name) => `pg_catalog.to_regtype('${name}') = 'pg_catalog.${name}'::pg_catalog.regtype`).join(' and ')

/** A relation's name, quoted, as SQL has it. */
export function nameOf({ schema, name }: Relation): string {
  return [schema, name].flatMap((part) => (part === undefined ? [] : [`"${part.replaceAll('"', '""')}"`])).join('.')
}

// Views, as the catalogue has them: what a rule of a view depends on, it reads, as its owner or, where it is set so, as whoever asks.
// What a policy of a table's rows depends on is read as whoever reads the table. Of a parent's children no rights are asked for.
// A whole row as a value depends on no column: it stands in the rule alone, as a column of number 0.
const LOOK_UP = pinned(`
  with recursive named as materialized (
    select n.at, pg_catalog.to_regclass(n.name)::pg_catalog.oid as oid from pg_catalog.unnest($1::pg_catalog.text[]) with ordinality as n (name, at)
  ),
  me as materialized (
    select r.oid from pg_catalog.pg_roles r where r.rolname = current_user
  ),
  reads as (
    select n.at, n.oid, me.oid as reader, null::pg_catalog.name as col, true as is_checked from named n cross join me where n.oid is not null
    union
    select r.at, x.oid, x.reader, x.col, x.is_checked
    from reads r
    cross join me
    join pg_catalog.pg_class c on c.oid = r.oid and (c.relkind = any ('{v,m}') or c.relhassubclass or c.relrowsecurity)
    cross join lateral (
      select d.refobjid as oid, case when v.is_invokers then me.oid else c.relowner end as reader,
        case when w.is_whole then '*'::pg_catalog.name else a.attname end as col, true as is_checked
      from (
        select coalesce(pg_catalog.bool_or(o.option_value::boolean), false) as is_invokers
        from pg_catalog.pg_options_to_table(c.reloptions) o where o.option_name = 'security_invoker'
      ) v
      cross join (
        -- By itself: a rule is long, and depends on hundreds of columns.
        select w.oid, pg_catalog.strpos(w.ev_action::pg_catalog.text, ':varattno 0 ') > 0 as is_whole
        from pg_catalog.pg_rewrite w where w.ev_class = r.oid and w.ev_type = '1'
        offset 0
      ) w
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = w.oid
        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.oid
      left join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and d.refobjsubid > 0
      where c.relkind = any ('{v,m}')
      union all
      select i.inhrelid, r.reader, r.col, false
      from pg_catalog.pg_inherits i
      where i.inhparent = r.oid and c.relhassubclass
      union all
      select d.refobjid, r.reader,
        case when pg_catalog.strpos(p.polqual::pg_catalog.text, ':varattno 0 ') > 0 then '*'::pg_catalog.name else a.attname end, true
      from pg_catalog.pg_policy p
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid
        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.oid
      left join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and d.refobjsubid > 0
      where p.polrelid = r.oid and c.relrowsecurity and r.is_checked and p.polcmd = any ('{r,*}')
        and (0 = any (p.polroles) or exists (select from pg_catalog.unnest(p.polroles) o where pg_catalog.pg_has_role(r.reader, o, 'usage')))
        and (c.relforcerowsecurity or not pg_catalog.pg_has_role(r.reader, c.relowner, 'usage'))
        and not exists (select from pg_catalog.pg_roles o where o.oid = r.reader and (o.rolsuper or o.rolbypassrls))
    ) x
  )
  select n.at, c.relkind, case when c.relnamespace = h.oid and c.relkind = any ('{r,p}') then c.relname end,
    pg_catalog.row_security_active(c.oid) or c.relhassubclass,
    (select pg_catalog.bool_and(pg_catalog.has_any_column_privilege(r.reader, r.oid, 'select'))
     from reads r join pg_catalog.pg_class t on t.oid = r.oid and t.relkind = any ('{r,p,v,m,f}') where r.at = n.at and r.is_checked),
    (select pg_catalog.json_agg(distinct t.relname) from reads r
     join pg_catalog.pg_class t on t.oid = r.oid and t.relnamespace = h.oid and t.relkind = any ('{r,p}') where r.at = n.at),
    (select pg_catalog.json_agg(distinct t.relname || '.' || r.col) from reads r
     join pg_catalog.pg_class t on t.oid = r.oid and t.relnamespace = h.oid and t.relkind = any ('{r,p}') where r.at = n.at and r.col is not null),
    m.max_age, m.isolation, m.has_plain_types
  from (
    select ${MAX_AGE} as max_age,
      pg_catalog.current_setting('transaction_isolation') as isolation, ${HAS_PLAIN_TYPES} as has_plain_types
  ) m
  left join named n on true
  left join pg_catalog.pg_class c on c.oid = n.oid
  left join pg_catalog.pg_namespace h on h.nspname = 'hubspot'`)

// Of names that are known to be tables of ours there is nothing to expand, and planning the above takes a millisecond.
const LOOK_UP_TABLES = pinned(`
  select n.at, pg_catalog.has_any_column_privilege(c.oid, 'select'),
    ${MAX_AGE},
    pg_catalog.current_setting('transaction_isolation'), ${HAS_PLAIN_TYPES}
  from pg_catalog.unnest($1::pg_catalog.text[]) with ordinality as n (name, at)
  join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass(n.name) and not c.relhassubclass and not pg_catalog.row_security_active(c.oid)`)

/** Looks names up as the session's own server process has them. */
export async function lookUp({ inject }: LiveSession, relations: readonly Relation[]): Promise<Meant> {
  const names = namesOf(relations)
  const rows = await inject(LOOK_UP, [arrayOf(names)])
  return {
    relations: rows.flatMap(([at, kind, itself, isFiltered, mayRead, tables, columns]) => (at === null || at === undefined ? [] : [{
      name: names[Number(at) - 1]!,
      itself: itself ?? undefined,
      isFiltered: isFiltered === 't' || typeof itself !== 'string',
      isStored: kind === 'm',
      mayRead: mayRead === 't',
      tables: listOf(tables),
      columns: listOf(columns),
    }])),
    maxAgeMs: msOf(rows[0]?.[7]),
    keepsSnapshot: isKept(rows[0]?.[8]),
    hasPlainTypes: rows[0]?.[9] === 't',
  }
}

/** The same for tables of the mirror, which mean themselves; undefined: one has children by now, or row security, or is gone. */
export async function lookUpTables({ inject }: LiveSession, relations: readonly Relation[]): Promise<Meant | undefined> {
  const names = namesOf(relations)
  const rows = await inject(LOOK_UP_TABLES, [arrayOf(names)])
  if (rows.length < names.length) return undefined
  const tables = new Map(relations.map((relation) => [nameOf(relation), relation.name]))
  return {
    relations: rows.map(([at, mayRead]) => {
      const name = names[Number(at) - 1]!
      const itself = tables.get(name)!
      return { name, itself, isFiltered: false, isStored: false, mayRead: mayRead === 't', tables: [itself], columns: [] }
    }),
    maxAgeMs: msOf(rows[0]?.[2]),
    keepsSnapshot: isKept(rows[0]?.[3]),
    hasPlainTypes: rows[0]?.[4] === 't',
  }
}

const COLUMNS = pinned(`
  select pg_catalog.concat_ws('.', a.attrelid, a.attname)
  from pg_catalog.pg_attribute a where a.attrelid = any ($1::pg_catalog.oid[]) and not a.attisdropped`)

/** The columns of tables, each as `oid.column`. */
export async function columnsOf({ inject }: LiveSession, oids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await inject(COLUMNS, [`{${oids.join()}}`])
  return new Set(rows.map(([column]) => column ?? ''))
}

const listOf = (json: string | null | undefined) => (json === null || json === undefined ? [] : (JSON.parse(json) as string[]))
const isKept = (isolation: string | null | undefined) => isolation === 'repeatable read' || isolation === 'serializable'
const namesOf = (relations: readonly Relation[]) => [...new Set(relations.map(nameOf))]
const arrayOf = (names: readonly string[]) => `{${names.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`).join()}}`
/** As set_max_age() does: what is older than a year is asked for, however old an answer may be. */
const msOf = (text: string | null | undefined) => Math.min(Math.max(Number(text ?? 0), 0), MOST_AGE_MS)
const MOST_AGE_MS = 365 * 86_400_000

const PREPARED = pinned('select p.statement, p.parameter_types::pg_catalog.oid[] from pg_catalog.pg_prepared_statements p where p.name = $1')

/** A statement that a session prepared, by SQL or the protocol: its text, and its parameters' types, as the server has them. */
export async function preparedBefore({ inject }: LiveSession, name: string): Promise<{ text: string; types: readonly number[] } | undefined> {
  const rows = await inject(PREPARED, [name])
  const [text, types] = rows[0] ?? []
  return text === null || text === undefined ? undefined : { text, types: (types ?? '').match(/\d+/g)?.map(Number) ?? [] }
}
