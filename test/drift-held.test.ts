import { describe, expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'

// Tables that someone holds, and columns and tables that someone dropped.

const MINUTE = 60_000

async function contacts(properties: readonly string[] | null = ['firstname', 'lastname']): Promise<World> {
  const world = await startWorld('held', { sandbox: { objects: { contacts: 6 } } })
  await world.load('contacts', properties ?? undefined)
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const open = (world: World) => world.db.query<{ code: string; message: string; hint: string }>('select code, message, hint from hubspot.problems where resolved_at is null order by code')
const hasColumn = async (world: World, name: string) =>
  (await world.db.query("select 1 from pg_attribute where attrelid = 'hubspot.contacts'::regclass and attname = $1 and not attisdropped", [name])).length === 1
/** A user whose transaction has read the table. */
const reader = async (world: World) => {
  const user = await world.db.pool.connect()
  const [{ pid }] = (await user.query<{ pid: number }>("begin; set local application_name = 'psql'; select pg_backend_pid() as pid") as unknown as { rows: { pid: number }[] }[]).at(-1)!.rows as [{ pid: number }]
  await user.query('select count(*) from hubspot.contacts')
  return { pid, async end() { await user.query('commit'); user.release() } }
}

describe('a table that a query of the user holds for minutes', () => {
  test('gets its new column when that is over; meanwhile nobody waits, definitions and rows go on, and after ten minutes a problem names the process', async () => {
    await using world = await contacts()
    const [id = ''] = idsOf(world)
    const user = await reader(world)
    world.store.changeProperty('contacts', 'firstname', { label: 'Given name' })
    await world.db.query("select hubspot.track('contacts', '{firstname,lastname,jobtitle}')")
    await world.drain()
    expect(await hasColumn(world, 'jobtitle')).toBe(false)
    // What was read of the definitions is kept.
    expect(await world.db.query("select label from hubspot.properties where object = 'contacts' and property = 'firstname'")).toEqual([{ label: 'Given name' }])
    world.store.edit('contacts', id, { firstname: 'Ada', jobtitle: 'Countess' })
    await world.pass(11_000)
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'Ada' })
    await world.pass(5 * MINUTE, MINUTE)
    expect(await open(world)).toEqual([])
    await world.pass(6 * MINUTE, MINUTE)
    expect(await open(world)).toEqual([expect.objectContaining({
      code: 'SH220',
      message: expect.stringMatching(new RegExp(`^table hubspot.contacts waits for columns to be changed since .*: it is held by process ${user.pid} \\(\\w+, psql\\)$`)) as string,
      hint: expect.stringContaining(`pg_terminate_backend(${user.pid})`) as string,
    })])
    const [{ runs } = { runs: 0 }] = await world.db.query<{ runs: number }>("select count(*)::int as runs from hubspot.runs where stream = 'build' and requests > 0")
    expect(runs).toBe(0)
    await user.end()
    await world.pass(11_000)
    expect(await hasColumn(world, 'jobtitle')).toBe(true)
    expect(await open(world)).toEqual([])
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'Ada', jobtitle: 'Countess' })
    expect(await world.differences('contacts')).toEqual([])
    // It is at rest again.
    const before = await world.db.query("select count(*)::int as n from hubspot.runs where stream = 'build'")
    await world.pass(5 * MINUTE, MINUTE)
    expect(await world.db.query("select count(*)::int as n from hubspot.runs where stream = 'build'")).toEqual(before)
  })

  test('never makes other queries wait: at first nobody is in the queue, later a tenth of a second', async () => {
    await using world = await contacts()
    const user = await reader(world)
    await world.db.query("select hubspot.track('contacts', '{firstname,lastname,jobtitle}')")
    for (const minutes of [0, 12]) {
      await world.advance(minutes * MINUTE)
      let slowest = 0
      let isOver = false
      const others = (async () => {
        while (!isOver) {
          const from = performance.now()
          await world.db.query('select count(*) from hubspot.contacts')
          slowest = Math.max(slowest, performance.now() - from)
        }
      })()
      await world.drain()
      isOver = true
      await others
      expect(slowest).toBeLessThan(1_500)
      expect(await hasColumn(world, 'jobtitle')).toBe(false)
    }
    await user.end()
    await world.pass(11_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('gets a column of another type when that is over', async () => {
    await using world = await contacts(null)
    const user = await reader(world)
    world.store.changeProperty('contacts', 'jobtitle', { type: 'number' })
    await world.pass(11 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    await user.end()
    await world.advance(11_000)
    await world.run('contacts', 'build')
    // The new column is there; held again when it is to take the other's place.
    const again = await reader(world)
    await world.drain()
    await world.pass(MINUTE, 10_000)
    expect(await world.db.query("select column_type, next_type from hubspot.properties where property = 'jobtitle'")).toEqual([{ column_type: 'text', next_type: 'numeric' }])
    expect((await open(world)).filter(({ code }) => code === 'SH220')).toEqual([])
    await again.end()
    await world.pass(11_000)
    expect(await world.db.query("select column_type, next_type from hubspot.properties where property = 'jobtitle'")).toEqual([{ column_type: 'numeric', next_type: null }])
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('a column that someone drops is made anew by the next page that misses it, and filled', async () => {
  await using world = await contacts()
  const [id = ''] = idsOf(world)
  await world.db.query('alter table hubspot.contacts drop column lastname')
  world.store.edit('contacts', id, { firstname: 'Ada' })
  await world.pass(11_000)
  expect(await hasColumn(world, 'lastname')).toBe(true)
  expect(await world.differences('contacts')).toEqual([])
  expect(await world.db.query("select count(*)::int as failed from hubspot.runs where error_code is not null")).toEqual([{ failed: 0 }])
  expect(await open(world)).toEqual([])
  expect(await world.db.query("select 1 from hubspot.runs where stream = 'resync'")).toEqual([])
})

test('a table that someone drops is made anew by the next page that misses it, and read whole', async () => {
  await using world = await contacts()
  const [id = ''] = idsOf(world)
  await world.db.query('drop table hubspot.contacts')
  world.store.edit('contacts', id, { firstname: 'Ada' })
  await world.pass(11_000)
  expect(await world.differences('contacts')).toEqual([])
  expect((await world.db.query("select state, rows from hubspot.status"))[0]).toEqual({ state: 'live', rows: '6' })
  expect(await open(world)).toEqual([])
  // Nobody writes it but the sync, as before.
  await expect(world.db.query("update hubspot.contacts set firstname = 'x'")).rejects.toMatchObject({ code: 'SH105' })
})

test('a trigger of a user\'s that names what is not there is his fault, not the catalogue\'s', async () => {
  await using world = await contacts()
  const [id = ''] = idsOf(world)
  await world.db.query("create function public.mine() returns trigger language plpgsql as $$ begin insert into public.nowhere values (new.id); return new; end $$; create trigger mine before update on hubspot.contacts for each row execute function public.mine()")
  world.store.edit('contacts', id, { firstname: 'Ada' })
  await world.pass(11_000)
  expect((await open(world)).map(({ code }) => code)).toEqual(['SH213'])
  await world.db.query('create table public.nowhere (id bigint)')
  await world.pass(16 * MINUTE)
  expect(await open(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test('a record that a trigger of a user\'s refuses holds up no others, and its column keeps its type until it can be written: nothing of it is lost', async () => {
  await using world = await contacts(null)
  const [id = ''] = idsOf(world)
  world.store.edit('contacts', id, { jobtitle: '7' })
  await world.pass(11_000)
  await world.db.query(`create function public.mine() returns trigger language plpgsql as $$ begin if new.id = ${id} then raise 'not this one'; end if; return new; end $$;
    create trigger mine before update on hubspot.contacts for each row execute function public.mine()`)
  world.store.changeProperty('contacts', 'jobtitle', { type: 'number' })
  await world.pass(11 * MINUTE)
  await world.pass(MINUTE, 10_000)
  expect(await world.db.query("select column_type, next_type from hubspot.properties where property = 'jobtitle'")).toEqual([{ column_type: 'text', next_type: 'numeric' }])
  expect((await open(world)).filter(({ code }) => code !== 'SH209').map(({ code }) => code).toSorted()).toEqual(['SH213', 'SH221'])
  expect(await world.row('contacts', id)).toMatchObject({ jobtitle: '7' })
  await world.db.query('drop trigger mine on hubspot.contacts')
  await world.pass(31 * MINUTE, 15 * MINUTE)
  expect(await world.db.query("select column_type, next_type from hubspot.properties where property = 'jobtitle'")).toEqual([{ column_type: 'numeric', next_type: null }])
  expect(await world.differences('contacts')).toEqual([])
  expect((await open(world)).filter(({ code }) => code !== 'SH209')).toEqual([])
})
