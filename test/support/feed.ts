import { setTimeout as sleep } from 'node:timers/promises'
import type { FreshDatabase } from './cluster.ts'

/** Resolves when all changes so far are final: transactions of the whole server count, those of other tests' databases too. */
export async function allFinal(db: Pick<FreshDatabase, 'query'>): Promise<void> {
  for (;;) {
    const open = await db.query('select from hubspot.changes where xid >= pg_snapshot_xmin(pg_current_snapshot()) limit 1')
    if (open.length === 0) return
    await sleep(10)
  }
}

type Values = Record<string, unknown>
type Change = { object: string; record_id: string; op: string; changed: Record<string, unknown>; next_after: string }
/** A copy of one table; `table` is another where it was made, or mirrored, anew. */
type Copy = { table: string; rows: Map<string, Values>; after: string }
/** What was done to a property's column: another name; another type; first values, which are not in the feed. */
type Note = { property: string; kind: 'renamed' | 'retyped' | 'first'; old_name: string | null; column_name: string | null }
/** What the columns of a table went through, by the names that they have now. */
type Course = { nameOf(column: string): string; retyped: Map<string, string>; first: Set<string>; properties: Set<string> }

/** Follows tables by copy and feed, as someone would who keeps his own copy of them. */
export function followFeed(db: Pick<FreshDatabase, 'query'>, objects: readonly string[]): { differences(): Promise<string[]> } {
  const copies = new Map<string, Copy>()
  let isNoting = false
  return {
    /**
     * What copies and changes since the last call come to, compared with the tables. Of a column that changed its type its values
     * are compared, whatever type they are written in; of one that was filled what the feed told of it.
     */
    async differences() {
      if (!isNoting) await db.query(NOTING)
      isNoting = true
      await allFinal(db)
      const found: string[] = []
      for (const object of objects) {
        const now = await copyOf(db, object)
        const course = await courseOf(db, object)
        const copy = copies.get(object)
        if (now === undefined) copies.delete(object)
        else copies.set(object, now)
        if (copy === undefined || now === undefined || copy.table !== now.table) continue
        const rows = await replay(db, object, copy, course)
        for (const id of new Set([...rows.keys(), ...now.rows.keys()])) found.push(...compare(`${object} ${id}`, rows.get(id), now.rows.get(id), course))
      }
      return found.slice(0, 10)
    },
  }
}

/** Notes what is done to columns between two looks at them. */
const NOTING = `
  create table public.column_notes (n serial, object text, property text, kind text, old_name text);
  create function public.note_column() returns trigger language plpgsql as $$
  begin
    if old.column_name <> new.column_name then
      insert into public.column_notes (object, property, kind, old_name) values (new.object, new.property, 'renamed', old.column_name);
    end if;
    if old.next_column is distinct from new.next_column then
      insert into public.column_notes (object, property, kind) values (new.object, new.property, 'retyped');
    end if;
    if (old.column_name is null, old.is_selected, old.archived_at is null, old.unreadable_at is null)
        is distinct from (new.column_name is null, new.is_selected, new.archived_at is null, new.unreadable_at is null)
      or new.next_column is null and new.fill_run is distinct from old.fill_run
    then
      insert into public.column_notes (object, property, kind) values (new.object, new.property, 'first');
    end if;
    return null;
  end $$;
  create trigger note_column after update on hubspot_private.properties for each row execute function public.note_column()`

async function courseOf(db: Pick<FreshDatabase, 'query'>, object: string): Promise<Course> {
  const notes = await db.query<Note>(
    `with noted as (delete from public.column_notes where object = $1 returning *)
     select n.property, n.kind, n.old_name, p.column_name
     from noted n left join hubspot_private.properties p on p.object = n.object and p.property = n.property order by n.n`,
    [object],
  )
  // What goes on is the course of the next look too.
  await db.query(
    `insert into public.column_notes (object, property, kind)
     select p.object, p.property, case when p.next_column is null then 'first' else 'retyped' end from hubspot_private.properties p
     left join hubspot_private.runs r on r.id = p.fill_run and r.state in ('waiting', 'running')
     where p.object = $1 and (p.next_column is not null or r.id is not null)`,
    [object],
  )
  const names = new Map(notes.flatMap(({ old_name, column_name }) => (old_name === null || column_name === null ? [] : [[old_name, column_name] as const])))
  const placed = notes.filter(({ column_name }) => column_name !== null)
  return {
    nameOf: (column) => names.get(column) ?? column,
    retyped: new Map(placed.filter(({ kind }) => kind === 'retyped').map(({ column_name, property }) => [column_name!, property])),
    first: new Set(placed.filter(({ kind }) => kind === 'first').map(({ column_name }) => column_name!)),
    properties: new Set(notes.filter(({ kind }) => kind !== 'renamed').map(({ property }) => property)),
  }
}

/** Undefined until its first load is done. */
async function copyOf(db: Pick<FreshDatabase, 'query'>, object: string): Promise<Copy | undefined> {
  const [state] = await db.query<{ table: string; next: string[] }>(
    `select concat_ws(' ', o.tracked_at, to_regclass(format('hubspot.%I', o.table_name))::oid) as table,
       array(select p.next_column::text from hubspot_private.properties p where p.object = o.name and p.next_column is not null) as next
     from hubspot_private.objects o where o.name = $1 and o.loaded_at is not null`,
    [object],
  )
  if (state === undefined) return undefined
  const [end] = await db.query<{ after: string }>('select hubspot.changes_end() as after')
  const rows = await db.query<{ id: string; row: Values }>(
    `select t.id, jsonb_strip_nulls(to_jsonb(t) - '{id,_created_at,_updated_at,_synced_at}'::text[] - $1::text[]) as row
     from hubspot."${object}" t where to_jsonb(t) ->> '_archived_at' is null`, [state.next])
  return { table: state.table, rows: new Map(rows.map(({ id, row }) => [id, row])), after: end!.after }
}

/** The copy's rows as the feed has changed them, and which columns of them it told of. */
async function replay(db: Pick<FreshDatabase, 'query'>, object: string, copy: Copy, course: Course): Promise<Map<string, { row: Values; told: Set<string> }>> {
  const named = (row: Values) => Object.fromEntries(Object.entries(row).map(([column, value]) => [course.nameOf(column), value]))
  const rows = new Map([...copy.rows].map(([id, row]) => [id, { row: named(row), told: new Set<string>() }]))
  for (let page: Change[]; (page = await db.query<Change>('select object, record_id, op, changed, next_after from hubspot.changes_after($1, 500)', [copy.after])).length > 0; ) {
    for (const { record_id, op, changed } of page.filter((change) => change.object === object)) {
      if (op === 'delete') rows.delete(record_id)
      if (op !== 'insert' && op !== 'update') continue
      const isHere = rows.has(record_id)
      if (isHere === (op === 'insert')) throw new Error(`${object} ${record_id}: ${op} of a record that is ${isHere ? 'here' : 'not here'}`)
      const { row, told } = rows.get(record_id) ?? { row: {}, told: new Set<string>() }
      const values = Object.entries(named(changed)) as [string, [unknown, unknown]][]
      for (const [column, [was, is]] of values.toSorted(([a], [b]) => Number(a === '_extra') - Number(b === '_extra'))) {
        const isSame = column === '_extra' ? show(kept(row['_extra'], course)) === show(kept(was, course))
          : course.first.has(column) || (course.retyped.has(column) ? was === null || row[column] === undefined || isAlike(row[column], was) : show(row[column]) === show(was))
        if (!isSame) throw new Error(`${object} ${record_id}.${column} was ${show(row[column])}, not ${show(was)}`)
        if (is === null) delete row[column]
        else row[column] = is
        told.add(column)
        // In a column that it fits into by now it left _extra unsaid.
        const property = course.retyped.get(column)
        if (property !== undefined && row['_extra']) row['_extra'] = Object.fromEntries(Object.entries(row['_extra']).filter(([name]) => name !== property))
        if (column !== '_extra') continue
        for (const moved of emptiedIn(was, is, row, course)) told.add(moved)
        for (const moved of editedIn(was, is, row, course)) if (!(moved in named(changed))) delete row[moved]
      }
      rows.set(record_id, { row, told })
    }
    copy.after = page.at(-1)!.next_after
  }
  return rows
}

/** Of columns that changed their type, values that did not fit, went to _extra unsaid, and are told to be no more there. */
function emptiedIn(was: unknown, is: unknown, row: Values, { retyped }: Course): string[] {
  const [had, has] = [(was ?? {}) as Values, (is ?? {}) as Values]
  return [...retyped].filter(([column, property]) => property in had && !(property in has) && isAlike(row[column], had[property])).map(([, property]) => `_extra.${property}`)
}

/** Such that are told to be others there: their columns hold them no more. */
function editedIn(was: unknown, is: unknown, row: Values, { retyped }: Course): string[] {
  const [had, has] = [(was ?? {}) as Values, (is ?? {}) as Values]
  return [...retyped].filter(([column, property]) => property in had && property in has && show(had[property]) !== show(has[property]) && isAlike(row[column], had[property])).map(([column]) => column)
}

function compare(who: string, copy: { row: Values; told: Set<string> } | undefined, here: Values | undefined, course: Course): string[] {
  if (copy === undefined || here === undefined) return [`${who} is ${here === undefined ? 'not here, and' : 'here, and not'} by the feed`]
  return [...new Set([...Object.keys(copy.row), ...Object.keys(here)])].flatMap((column) => {
    const property = course.retyped.get(column)
    const of = (row: Values) => (property === undefined ? row[column] : (row[column] ?? (row['_extra'] as Values | undefined)?.[property]))
    const [told, is] = column === '_extra' ? [kept(copy.row[column], course), kept(here[column], course)] : [of(copy.row), of(here)]
    if (show(told) === show(is) || (property !== undefined && isAlike(told, is))) return []
    if (is === undefined && copy.told.has(`_extra.${property}`)) return []
    // Nobody said what came into it first.
    if (course.first.has(column) && (!copy.told.has(column) || copy.row[column] === undefined)) return []
    return [`${who}.${column} is ${show(is)}, by the feed ${show(told)}`]
  })
}

/** Of _extra what is of properties to which nothing was done. */
const kept = (extra: unknown, { properties }: Course) => {
  const left = Object.entries(extra ?? {}).filter(([name]) => !properties.has(name)).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return left.length === 0 ? undefined : Object.fromEntries(left)
}

const show = (value: unknown) => JSON.stringify(value ?? null)

/** Whether two values may be the same one, written in columns of two types. */
function isAlike(a: unknown, b: unknown): boolean {
  const [one, other] = [readings(a), readings(b)]
  return one.text === other.text || (one.number ?? Number.NaN) === other.number || (one.at ?? Number.NaN) === other.at
    // A day has no hours.
    || (one.isDay && one.day === other.day) || (other.isDay && one.day === other.day)
}

/** A value as text, and as what else it may be read as: numbers are milliseconds, too. */
function readings(value: unknown) {
  const text = (Array.isArray(value) ? value.join(';') : typeof value === 'string' ? value : show(value)).toLowerCase()
  const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text) ? Number(text) : undefined
  const time = number ?? (/^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN)
  const at = Math.abs(time) < 8e15 ? time : undefined
  return { text, number, at, day: at === undefined ? undefined : new Date(at).toISOString().slice(0, 10), isDay: /^\d{4}-\d\d-\d\d$/.test(text) }
}
