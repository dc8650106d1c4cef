import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCluster } from '../src/db/cluster.ts'
import { migrate } from '../src/db/migrate.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { allFinal } from './support/feed.ts'
import { query } from './support/global-setup.ts'

// How the change feed is read, and how its days are kept.

type Change = { id: string; xid: string; record_id: string; next_after: string }
type Session = { query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<{ rows: Row[] }> }

/** Writes changes as a page does, in a session whose transaction may stay open. */
const write = (session: Session, count: number, at = 'now()') =>
  session.query(`insert into hubspot.changes (at, object, record_id, op, changed) select ${at}, 'deals', g, 'update', '{"n": [1, 2]}' from generate_series(1, $1) g`, [count])

const read = async (db: FreshDatabase, after: string | null, most = 1_000) =>
  db.query<Change>('select id, xid, record_id, next_after from hubspot.changes_after($1, $2)', [after, most])

const readFinal = async (db: FreshDatabase, after: string | null, most?: number) => {
  await allFinal(db)
  return read(db, after, most)
}

async function session(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

describe('changes_after', () => {
  let db: FreshDatabase
  beforeAll(async () => {
    db = await freshDatabase('changes_read')
  })
  afterAll(() => db[Symbol.asyncDispose]())

  test('gives all in order, page by page, each with what to pass next', async () => {
    for (let i = 0; i < 5; i += 1) await write(db.pool, 7)
    const seen: string[] = []
    let after: string | null = null
    for (let page: Change[]; (page = await readFinal(db, after, 4)).length > 0; after = page.at(-1)!.next_after) seen.push(...page.map(({ id }) => id))
    expect(seen).toHaveLength(35)
    expect(seen).toEqual(seen.toSorted((a, b) => Number(a) - Number(b)))
    expect(await read(db, after)).toEqual([])
    await write(db.pool, 1)
    expect(await readFinal(db, after)).toHaveLength(1)
  })

  test('never passes by a change whose transaction was slow, and waits for no longer than that', async () => {
    const after = (await db.query<{ p: string }>('select hubspot.changes_end() as p'))[0]!.p
    const slow = await session(db.url)
    await slow.query('begin')
    await write(slow, 3)
    await write(db.pool, 5)
    // Lower ids are not committed yet: nothing after them shows.
    expect(await read(db, after)).toEqual([])
    await slow.query('commit')
    expect((await readFinal(db, after)).map(({ record_id }) => record_id)).toEqual(['1', '2', '3', '1', '2', '3', '4', '5'])
    await slow.end()
  })

  test('misses none while many write at once, some for long, some rolled back', async () => {
    const start = (await db.query<{ p: string }>('select hubspot.changes_end() as p'))[0]!.p
    const seen: string[] = []
    const kept = new Set<string>()
    let isOver = false
    const writers = Array.from({ length: 6 }, async (_, n) => {
      const client = await session(db.url)
      for (let i = 0; i < 15; i += 1) {
        await client.query('begin')
        const ids: string[] = []
        for (let part = 0; part <= n % 3; part += 1) {
          const { rows } = await client.query<{ id: string }>(
            `insert into hubspot.changes (at, object, record_id, op, changed) select now(), 'deals', g, 'update', '{}' from generate_series(1, 3) g returning id::text`)
          ids.push(...rows.map(({ id }) => id))
          // Long enough for others to pass by.
          await client.query('select pg_sleep($1::float8)', [((n * 7 + i * 3) % 5) / 400])
        }
        const isKept = (n + i) % 4 !== 0
        await client.query(isKept ? 'commit' : 'rollback')
        if (isKept) for (const id of ids) kept.add(id)
      }
      await client.end()
    })
    const reader = (async () => {
      let after = start
      for (let last = false; ; last = isOver) {
        const page = await read(db, after, 10)
        seen.push(...page.map(({ id }) => id))
        if (page.length > 0) after = page.at(-1)!.next_after
        else if (last) return
      }
    })()
    await Promise.all(writers)
    await allFinal(db)
    isOver = true
    await reader
    expect(seen).toHaveLength(kept.size)
    expect(new Set(seen)).toEqual(kept)
  })

  test.for([['', 'SH104'], ['7', 'SH104'], ['1-2', 'SH104'], ["1-1-1'; drop table hubspot.changes", 'SH104'], ['1-99999999999999999999-1', 'SH104'], ['1-999999999999-1', 'SH117'], ['9-1-1', 'SH117']])(
    'refuses %s as a place with %s and a hint', async ([after, code]) => {
      await expect(read(db, after!)).rejects.toMatchObject({ code, hint: expect.stringMatching(/./) as string })
    })

  test('refuses a number of rows that is none', async () => {
    for (const most of [0, -1, null]) await expect(db.query('select * from hubspot.changes_after(null, $1)', [most])).rejects.toMatchObject({ code: 'SH104' })
  })

  test('tells who comes too late, and only him', async () => {
    await using own = await freshDatabase('too late')
    await write(own.pool, 3, "now() - interval '9 days'")
    const [first, , last] = await readFinal(own, null)
    await write(own.pool, 2)
    await own.query('select hubspot_private.changes_keep()')
    await expect(read(own, first!.next_after)).rejects.toMatchObject({ code: 'SH117', hint: expect.stringContaining('changes_end') as string })
    expect(await readFinal(own, last!.next_after)).toHaveLength(2)
    expect(await read(own, null)).toHaveLength(2)
    await own.query('select hubspot_private.changes_empty()')
    await expect(read(own, last!.next_after)).rejects.toMatchObject({ code: 'SH117' })
    expect(await read(own, null)).toEqual([])
  })

  test.for(['dropped', 'emptied'])('does not pass by what was %s since a transaction took its snapshot', async (what) => {
    await using own = await freshDatabase('snapshot')
    await write(own.pool, 3, "now() - interval '9 days'")
    const [first, , last] = await readFinal(own, null)
    await own.query("update hubspot_private.installation set clock_shift = '-9 days'; select hubspot_private.changes_keep(); update hubspot_private.installation set clock_shift = '0'")
    await write(own.pool, 2)
    await readFinal(own, null)
    const client = await session(own.url)
    try {
      const after = async (place: string | null) => (await client.query<Change>('select record_id from hubspot.changes_after($1)', [place])).rows.length
      await client.query('begin isolation level repeatable read')
      expect([await after(null), await after(first!.next_after)]).toEqual([5, 4])
      await client.query('commit; begin isolation level repeatable read; select 1')
      await own.query(what === 'dropped' ? 'select hubspot_private.changes_keep()' : 'select hubspot_private.changes_empty()')
      await expect(after(first!.next_after)).rejects.toMatchObject({ code: '40001', hint: expect.stringMatching(/./) as string })
      // Begun again, it knows.
      await client.query('rollback; begin isolation level repeatable read')
      await expect(after(first!.next_after)).rejects.toMatchObject({ code: 'SH117' })
      await client.query('rollback; begin isolation level repeatable read')
      expect(await after(null)).toBe(what === 'dropped' ? 2 : 0)
      if (what === 'dropped') expect(await after(last!.next_after)).toBe(2)
      await client.query('commit')
    } finally {
      await client.end()
    }
  })

  test('is for whoever was granted to read, who may write nothing', async () => {
    const role = `feed_reader_${db.name.slice(-8)}`
    await db.query(`create role ${role}`)
    await db.query('select hubspot.grant_read($1)', [role])
    await db.query('select hubspot_private.changes_keep()')
    await write(db.pool, 1)
    await allFinal(db)
    const client = await session(db.adminUrl)
    try {
      await client.query(`set role ${role}`)
      expect((await client.query('select * from hubspot.changes_after(null, 1)')).rows).toHaveLength(1)
      expect((await client.query('select * from hubspot.changes limit 1')).rows).toHaveLength(1)
      await expect(client.query('delete from hubspot.changes')).rejects.toMatchObject({ code: '42501' })
      await expect(client.query('select hubspot.disable_changes($1)', ['deals'])).rejects.toMatchObject({ code: '42501' })
    } finally {
      await client.end()
    }
    await query(db.adminUrl, `drop owned by ${role}; drop role ${role}`)
  })
})

describe('the days of the feed', () => {
  const days = async (db: FreshDatabase) => (await db.query<{ day: string }>(
    `select to_char(begins_at at time zone 'UTC' - date_trunc('day', hubspot_private.clock() at time zone 'UTC'), 'DD') as day from hubspot_private.change_days()`)).map(({ day }) => Number(day))
  const shift = (db: FreshDatabase, by: string) => db.query('update hubspot_private.installation set clock_shift = clock_shift + $1::interval', [by])
  const rest = async (db: FreshDatabase) => (await db.query<{ n: number }>('select count(*)::integer as n from hubspot_private.changes_rest'))[0]!.n
  const keep = (db: FreshDatabase) => db.query('select hubspot_private.changes_keep()')

  test.for(['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])('are made ahead and dropped when they are old, by as many workers as there are, and are days of UTC in %s too', async (zone) => {
    await using db = await freshDatabase('days')
    await query(db.adminUrl, `alter database ${db.name} set timezone = '${zone}'`)
    await Promise.all(Array.from({ length: 5 }, () => keep(db)))
    expect(await days(db)).toEqual([0, 1, 2])
    await write(db.pool, 3)
    for (let day = 1; day <= 9; day += 1) {
      await shift(db, '1 day')
      await Promise.all(Array.from({ length: 3 }, () => keep(db)))
      await write(db.pool, 3, 'hubspot_private.clock()')
      expect(await rest(db)).toBe(0)
    }
    // Whole days of which all is older than seven.
    expect(await days(db)).toEqual([-7, -6, -5, -4, -3, -2, -1, 0, 1, 2])
    expect((await db.query('select count(*)::integer as n from hubspot.changes'))[0]).toEqual({ n: 24 })
    await db.query("select hubspot.configure('changes_kept', '2 days')")
    await keep(db)
    expect(await days(db)).toEqual([-2, -1, 0, 1, 2])
  })

  test('take what the rest has of them, where no worker made them in time, or a clock was set', async () => {
    await using db = await freshDatabase('rest')
    await write(db.pool, 4)
    await write(db.pool, 2, "now() + interval '30 days'")
    await write(db.pool, 2, "now() - interval '20 days'")
    const before = await db.query<Change>('select id, xid, at, record_id, changed from hubspot.changes where at > now() - interval \'1 day\' order by xid, id')
    expect(await rest(db)).toBe(8)
    await keep(db)
    expect(await rest(db)).toBe(2)
    expect(await db.query('select id, xid, at, record_id, changed from hubspot.changes order by xid, id')).toEqual(before)
    await shift(db, '30 days')
    await keep(db)
    expect(await rest(db)).toBe(0)
    expect(await days(db)).toEqual([0, 1, 2])
    // And back: what is written then has no day, and goes by its age.
    await shift(db, '-35 days')
    await write(db.pool, 2, 'hubspot_private.clock()')
    await keep(db)
    expect(await days(db)).toContain(0)
    expect((await db.query('select count(*)::integer as n from hubspot.changes'))[0]).toEqual({ n: 4 })
  })

  test('leave a day that the rest has very many rows of where it is, and make the next', async () => {
    await using db = await freshDatabase('many')
    await write(db.pool, 10_001)
    await keep(db)
    expect(await days(db)).toEqual([1, 2])
    expect(await rest(db)).toBe(10_001)
    await shift(db, '9 days')
    await keep(db)
    await keep(db)
    expect(await rest(db)).toBe(0)
  })

  test('wait for nobody: who reads or writes at length is left alone, others go on, and later he is named', async () => {
    await using db = await freshDatabase('held')
    await keep(db)
    await write(db.pool, 1)
    await shift(db, '10 days')
    const holder = await session(db.url)
    await holder.query('begin; select * from hubspot.changes')
    const at = performance.now()
    await keep(db)
    expect(performance.now() - at).toBeLessThan(5_000)
    await write(db.pool, 1, 'hubspot_private.clock()')
    expect(await days(db)).toContain(-10)
    const open = () => db.query("select code, object, property, message from hubspot.problems where resolved_at is null")
    const [{ pid }] = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows as [{ pid: number }]
    expect(await open()).toEqual([{ code: 'SH220', object: null, property: 'changes', message: expect.stringContaining(`process ${pid}`) as string }])
    await holder.query('commit')
    await holder.end()
    await keep(db)
    await keep(db)
    expect(await days(db)).toEqual([0, 1, 2])
    expect(await open()).toEqual([])
  })
})

describe('a queue of notifications that nobody reads', () => {
  test('is told of no more changes once it is half full, with a problem; then again', async () => {
    await using cluster = await startCluster({ settings: { fsync: 'off', max_notify_queue_pages: '64' } })
    const url = cluster.url()
    await migrate(url)
    const holder = await session(url)
    await holder.query('listen hubspot; listen other')
    await holder.query('begin; select 1')
    const usage = async () => (await query<{ used: number }>(url, 'select pg_notification_queue_usage() as used'))[0]!.used
    for (let i = 0; (await usage()) < 0.5; i += 1) await query(url, `select pg_notify('other', repeat('x', 7000) || g || '${i}') from generate_series(1, 8) g`)
    const writer = await session(url)
    const tell = `select hubspot_private.changes_told('deals', 'update', array(select generate_series(1, 1000)::bigint))`
    // More than would fit.
    for (let i = 0; i < 200; i += 1) await writer.query(tell)
    await writer.query('select hubspot_private.changes_keep()')
    expect(await query(url, 'select code, property from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH223', property: 'notify' }])
    let told = 0
    holder.on('notification', ({ channel }) => (told += Number(channel === 'hubspot')))
    await holder.query('commit')
    await holder.query('select 1')
    await holder.query('select 1')
    expect(told).toBe(0)
    await writer.query(tell)
    await writer.query('select hubspot_private.changes_keep()')
    await holder.query('select 1')
    expect(told).toBe(1)
    expect(await query(url, 'select code from hubspot.problems where resolved_at is null')).toEqual([])
    await writer.end()
    await holder.end()
  })
})
