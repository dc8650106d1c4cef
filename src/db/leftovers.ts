import type pg from 'pg'

/** Functions and views of the product's schemas by what names them in SQL, each with the transaction that last wrote it. */
export type Made = ReadonlyMap<string, string>

/**
 * What is there now. Left out are functions that are generated for a table: their names end in its number, and code that is
 * applied anew does not make them.
 */
export async function madeNow(client: pg.Client): Promise<Made> {
  const { rows } = await client.query<{ name: string; written_by: string }>(`
    select format('routine %s', p.oid::regprocedure) as name, p.xmin::text as written_by
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('hubspot', 'hubspot_private') and p.proname !~ '_[0-9]+$'
    union all
    select format('view %s', c.oid::regclass), r.xmin::text
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
    where n.nspname in ('hubspot', 'hubspot_private') and c.relkind = 'v'`)
  return new Map(rows.map(({ name, written_by }) => [name, written_by]))
}

/**
 * Drops what an earlier version's code made and this one's did not make again. What someone's own objects are built on stays
 * for now, and is tried again with the next version; what others put into our schemas stays.
 */
export async function dropLeftovers(client: pg.Client, before: Made): Promise<void> {
  const after = await madeNow(client)
  const isLeft = (name: string) => after.has(name) && after.get(name) === before.get(name)
  let left = (await known(client, before)).filter(isLeft)
  // One may rest on another: again until nothing goes.
  for (let count = 0; count !== left.length; ) {
    count = left.length
    const stay: string[] = []
    for (const name of left) if (!(await isDropped(client, name))) stay.push(name)
    left = stay
  }
  const made = [...after.keys()].filter((name) => !isLeft(name))
  await client.query('delete from hubspot_private.code_objects')
  await client.query('insert into hubspot_private.code_objects (name) select unnest($1::text[])', [[...made, ...left]])
}

/** What the version before made: as it noted, or where it did not yet note it all that is in the schema nobody else uses. */
async function known(client: pg.Client, before: Made): Promise<string[]> {
  await client.query(`
    create table if not exists hubspot_private.code_objects (name text primary key);
    comment on table hubspot_private.code_objects is
      'Functions and views that the installed version made: what the next one does not make again goes.'`)
  const { rows } = await client.query<{ name: string }>('select name from hubspot_private.code_objects order by name')
  if (rows.length > 0) return rows.map(({ name }) => name)
  return [...before.keys()].filter((name) => / hubspot_private\./.test(name))
}

/** Never by cascade. */
async function isDropped(client: pg.Client, name: string): Promise<boolean> {
  await client.query('savepoint leftover')
  try {
    await client.query(`drop ${name}`)
    await client.query('release savepoint leftover')
    return true
  } catch (error) {
    await client.query('rollback to savepoint leftover; release savepoint leftover')
    // dependent_objects_still_exist
    if ((error as pg.DatabaseError).code === '2BP01') return false
    throw error
  }
}
