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
/** A copy of one table, and the columns that it was made with. */
type Copy = { set: string; rows: Map<string, Values>; after: string }

/** Follows tables by copy and feed, as someone would who keeps his own copy of them. */
export function followFeed(db: Pick<FreshDatabase, 'query'>, objects: readonly string[]): { differences(): Promise<string[]> } {
  const copies = new Map<string, Copy>()
  return {
    /** What copies and changes come to, compared with the tables. Where columns have changed since, the copy is made anew. */
    async differences() {
      await allFinal(db)
      const found: string[] = []
      for (const object of objects) {
        const now = await copyOf(db, object)
        const copy = copies.get(object)
        if (now === undefined) copies.delete(object)
        else copies.set(object, now)
        if (copy === undefined || now === undefined || copy.set !== now.set) continue
        await replay(db, object, copy)
        const [told, here] = [linesOf(copy.rows), linesOf(now.rows)]
        found.push(...[...told].filter((line) => !here.has(line)).map((line) => `${object}: by the feed ${line}`))
        found.push(...[...here].filter((line) => !told.has(line)).map((line) => `${object}: not by the feed ${line}`))
      }
      return found.slice(0, 10)
    },
  }
}

/** Undefined until its first load is done. */
async function copyOf(db: Pick<FreshDatabase, 'query'>, object: string): Promise<Copy | undefined> {
  // What was read for one column alone, or for the first time, is not in the feed.
  const [state] = await db.query<{ set: string }>(
    `select concat_ws(' ', o.column_set, o.tracked_at, (select max(r.id) from hubspot_private.runs r where r.object = o.name and r.stream in ('fill', 'build')),
       (select string_agg(concat(p.property, p.fill_run), ' ' order by p.property) from hubspot_private.properties p where p.object = o.name)) as set
     from hubspot_private.objects o where o.name = $1 and o.loaded_at is not null`,
    [object],
  )
  if (state === undefined) return undefined
  const [end] = await db.query<{ after: string }>('select hubspot.changes_end() as after')
  const rows = await db.query<{ id: string; row: Values }>(`select t.id, jsonb_strip_nulls(to_jsonb(t) - '{id,_created_at,_updated_at,_synced_at}'::text[]) as row from hubspot."${object}" t where to_jsonb(t) ->> '_archived_at' is null`)
  return { set: state.set, rows: new Map(rows.map(({ id, row }) => [id, row])), after: end!.after }
}

async function replay(db: Pick<FreshDatabase, 'query'>, object: string, copy: Copy): Promise<void> {
  for (let page: Change[]; (page = await db.query<Change>('select object, record_id, op, changed, next_after from hubspot.changes_after($1, 500)', [copy.after])).length > 0; ) {
    for (const { record_id, op, changed } of page.filter((change) => change.object === object)) {
      const row: Values = { ...copy.rows.get(record_id) }
      if (op === 'delete') copy.rows.delete(record_id)
      if (op !== 'insert' && op !== 'update') continue
      const isHere = copy.rows.has(record_id)
      if (isHere === (op === 'insert')) throw new Error(`${object} ${record_id}: ${op} of a record that is ${isHere ? 'here' : 'not here'}`)
      for (const [column, [was, is]] of Object.entries(changed as Record<string, [unknown, unknown]>)) {
        if (JSON.stringify(row[column] ?? null) !== JSON.stringify(was)) throw new Error(`${object} ${record_id}.${column} was ${JSON.stringify(row[column])}, not ${JSON.stringify(was)}`)
        if (is === null) delete row[column]
        else row[column] = is
      }
      copy.rows.set(record_id, row)
    }
    copy.after = page.at(-1)!.next_after
  }
}

const linesOf = (rows: Map<string, Values>) =>
  new Set([...rows].map(([id, row]) => `${id} ${JSON.stringify(Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))))}`))
