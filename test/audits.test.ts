import { expect, test } from 'vitest'
import { pagesOf, startWorld, type World } from './support/sync.ts'

async function contacts(count: number): Promise<World> {
  const world = await startWorld('audits', { sandbox: { objects: { contacts: count } }, client: pagesOf(5) })
  await world.load('contacts', ['firstname', 'hs_email_open'])
  await world.pass(70 * 60_000, 60_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
async function verify(world: World) {
  const [{ id }] = (await world.db.query<{ id: string }>("select hubspot.verify('contacts') as id")) as [{ id: string }]
  await world.drain()
  return (await world.db.query(
    `select compared::integer, missing::integer, extra::integer, different::integer, repaired::integer, examples from hubspot.audits where run_id = $1`, [id]))[0]
}
/** Changes the mirror as nobody but a disk, or a bug, could. */
const damage = async (world: World, statement: string, values: unknown[] = []) => {
  await world.db.query('alter table hubspot.contacts disable trigger user')
  await world.db.query(statement, values)
  await world.db.query('alter table hubspot.contacts enable trigger user')
}

test('where nothing differs it says so, and writes no row', async () => {
  await using world = await contacts(12)
  const rows = () => world.db.query('select id, xmin from hubspot.contacts order by id')
  const before = await rows()
  expect(await verify(world)).toEqual({ compared: 12, missing: 0, extra: 0, different: 0, repaired: 0, examples: { missing: [], different: [] } })
  expect(await rows()).toEqual(before)
})

test('it finds and repairs lost rows, wrong values, and rows too many', async () => {
  await using world = await contacts(20)
  const [lost = '', wrong = '', older = '', gone = ''] = idsOf(world)
  await damage(world, 'delete from hubspot.contacts where id = $1', [lost])
  await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = $1", [wrong])
  await damage(world, "update hubspot.contacts set _updated_at = _updated_at - interval '1 day' where id = $1", [older])
  world.store.purge('contacts', gone)
  expect(await verify(world)).toEqual({
    compared: 19, missing: 1, extra: 1, different: 2, repaired: 4, examples: { missing: [Number(lost)], different: [Number(wrong), Number(older)] },
  })
  expect(await world.differences('contacts')).toEqual([])
  expect(await verify(world)).toMatchObject({ missing: 0, extra: 0, different: 0 })
})

test('what HubSpot changed a moment ago is no difference', async () => {
  await using world = await contacts(12)
  const [edited = '', wrong = ''] = idsOf(world)
  world.store.edit('contacts', edited, { firstname: 'just now' })
  world.store.create('contacts', [{ properties: { firstname: 'new' } }])
  await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = $1", [wrong])
  await world.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() + interval '1 hour' where stream in ('poll', 'settle')")
  expect(await verify(world)).toMatchObject({ compared: 13, missing: 0, different: 1, repaired: 1 })
  expect(await world.differences('contacts')).toEqual([])
})

test('a row that someone holds is told, and repaired when it is let go', async () => {
  await using world = await contacts(6)
  const [wrong = ''] = idsOf(world)
  await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = $1", [wrong])
  const holder = await world.db.pool.connect()
  await holder.query('begin')
  await holder.query('select from hubspot.contacts where id = $1 for update', [wrong])
  const [{ id }] = (await world.db.query<{ id: string }>("select hubspot.verify('contacts') as id")) as [{ id: string }]
  await world.run('contacts', 'resync')
  expect(await world.db.query('select different::integer, repaired::integer from hubspot.audits where run_id = $1', [id])).toEqual([{ different: 1, repaired: 0 }])
  await holder.query('commit')
  holder.release()
  await world.pass(10_000, 1_000)
  expect(await world.differences('contacts')).toEqual([])
})

test('an object that is not tracked is refused by name, and asked for twice while one waits is one audit', async () => {
  await using world = await contacts(3)
  await expect(world.db.query("select hubspot.verify('contact')")).rejects.toMatchObject({ code: 'SH101', hint: expect.stringContaining("'contacts'") as string })
  const [one] = await world.db.query("select hubspot.verify('contacts'), hubspot.resync('contacts')")
  const [two] = await world.db.query('select count(*)::integer as audits from hubspot.audits')
  expect(one).toEqual({ verify: expect.any(String) as string, resync: (one as { verify: string }).verify })
  expect(two).toEqual({ audits: 1 })
})
