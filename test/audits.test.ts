import { describe, expect, test } from 'vitest'
import { hold, pagesOf, startWorld, type World } from './support/sync.ts'

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
  expect(await verify(world)).toEqual({ compared: 12, missing: 0, extra: 0, different: 0, repaired: 0, examples: { missing: [], extra: [], different: [] } })
  expect(await rows()).toEqual(before)
})

test.for(['in the order of ids', 'in no order'] as const)('each record counts once where the list is read from the start again (%s)', async (order) => {
  await using world = await startWorld('audits', {
    sandbox: { objects: { contacts: 12 } },
    client: (client, sandbox) => {
      const small = pagesOf(4)(client, sandbox)
      return {
        ...small,
        async request(request) {
          const answer = await small.request(request)
          if (order === 'in the order of ids' || request.query?.['properties'] === undefined || request.query['archived'] === true) return answer
          const page = JSON.parse(answer.body.toString()) as { results: unknown[] }
          return { ...answer, body: Buffer.from(JSON.stringify({ ...page, results: page.results.toReversed() })) }
        },
      }
    },
  })
  await world.load('contacts', ['firstname'])
  await world.pass(70 * 60_000, 70 * 60_000)
  expect(await verify(world)).toMatchObject({ compared: 12, missing: 0, extra: 0, different: 0 })
  world.store.purge('contacts', idsOf(world)[3]!)
  expect(await verify(world)).toMatchObject({ compared: 11, extra: 1, repaired: 1 })
})

test('it finds and repairs lost rows, wrong values, and rows too many', async () => {
  await using world = await contacts(20)
  const [lost = '', wrong = '', older = '', gone = ''] = idsOf(world)
  await damage(world, 'delete from hubspot.contacts where id = $1', [lost])
  await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = $1", [wrong])
  await damage(world, "update hubspot.contacts set _updated_at = _updated_at - interval '1 day' where id = $1", [older])
  world.store.purge('contacts', gone)
  expect(await verify(world)).toEqual({
    compared: 19, missing: 1, extra: 1, different: 2, repaired: 4, examples: { missing: [Number(lost)], extra: [Number(gone)], different: [Number(wrong), Number(older)] },
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

test('what was archived, merged away or restored a moment ago is no difference; what was long before, or is gone without a trace, is one', async () => {
  await using world = await contacts(20)
  const [archived = '', one = '', two = '', restored = '', purged = '', known = ''] = idsOf(world)
  // Known to the archived list, and here all the same.
  const [row] = await world.db.query('select to_jsonb(t) as row from hubspot.contacts t where id = $1', [known])
  world.store.archive('contacts', known)
  world.store.archive('contacts', restored)
  await world.db.query("select hubspot.refresh('contacts', $1)", [[restored]])
  await world.pass(70 * 60_000, 70 * 60_000)
  expect(await world.row('contacts', restored)).toBeUndefined()
  await damage(world, 'insert into hubspot.contacts select * from jsonb_populate_record(null::hubspot.contacts, $1)', [(row as { row: unknown }).row])
  for (const stream of ['poll', 'settle', 'archive']) {
    await world.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() + interval '1 hour' where stream = $1", [stream])
  }
  await world.advance(1_000)
  world.store.archive('contacts', archived)
  world.store.merge('contacts', one, two, { newId: true })
  world.store.restore('contacts', restored)
  world.store.purge('contacts', purged)
  expect(await verify(world)).toMatchObject({ missing: 0, extra: 2, different: 0, repaired: 2, examples: { extra: [purged, known].map(Number).toSorted((a, b) => a - b) } })
  expect(await world.differences('contacts')).toEqual([])
})

test('an object that cannot be asked when its records were archived is verified all the same: all that is gone counts', async () => {
  await using world = await contacts(6)
  const [archived = ''] = idsOf(world)
  await world.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() + interval '1 hour' where stream = 'archive'")
  world.store.archive('contacts', archived)
  world.store.addFault({ fault: { type: 'answer', status: 400, body: '{"status":"error","message":"no","category":"VALIDATION_ERROR"}' }, times: 1, match: { kind: 'batch read' } })
  expect(await verify(world)).toMatchObject({ missing: 0, extra: 1, different: 0, repaired: 1 })
})

test('an audit that is asked for in a long transaction, of a full read that waits, begins with it: no page goes by before', async () => {
  await using world = await contacts(12)
  const [wrong = ''] = idsOf(world)
  await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = $1", [wrong])
  await world.db.query("select hubspot.resync('contacts')")
  const user = await world.db.pool.connect()
  await user.query('begin')
  const { rows: [asked] } = await user.query<{ id: string }>("select hubspot.verify('contacts') as id")
  // It neither begins without the audit, nor holds anything else up.
  await world.drain()
  expect(await world.db.query('select state from hubspot.runs where id = $1', [asked!.id])).toEqual([{ state: 'waiting' }])
  expect(await world.db.query("select code from hubspot.problems where resolved_at is null")).toEqual([])
  await user.query('commit')
  user.release()
  await world.drain()
  expect(await world.db.query('select compared::integer, different::integer, repaired::integer from hubspot.audits where run_id = $1', [asked!.id])).toEqual([{ compared: 12, different: 1, repaired: 1 }])
})

describe('rows too many for a full read to delete by itself', () => {
  const asked = async (world: World) => (await world.db.query<{ verify: string }>("select hubspot.verify('contacts')"))[0]!.verify
  const audit = async (world: World, run: string) =>
    (await world.db.query('select compared::integer, missing::integer, extra::integer, different::integer, repaired::integer, jsonb_array_length(examples -> \'extra\') as examples from hubspot.audits where run_id = $1', [run]))[0]
  const many = async () => {
    const world = await startWorld('audits', { sandbox: { objects: { contacts: 260 } } })
    await world.load('contacts', ['firstname'])
    await world.pass(70 * 60_000, 70 * 60_000)
    world.store.purge('contacts', idsOf(world).slice(0, 130))
    await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = $1", [idsOf(world)[0]])
    await world.advance(1_000)
    return world
  }

  test('are told before they are confirmed, count once, and are repaired then', async () => {
    await using world = await many()
    const run = await asked(world)
    await world.drain()
    expect(await audit(world, run)).toEqual({ compared: 130, missing: 0, extra: 130, different: 1, repaired: 1, examples: 100 })
    await world.db.query('select hubspot.confirm_deletes($1)', [run])
    await world.drain()
    expect(await audit(world, run)).toEqual({ compared: 130, missing: 0, extra: 130, different: 1, repaired: 131, examples: 100 })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('stay told, and not repaired, where another full read takes its place', async () => {
    await using world = await many()
    const run = await asked(world)
    await world.drain()
    await world.advance(5_000)
    await world.db.query("select hubspot.resync('contacts')")
    await world.drain()
    expect(await world.db.query('select state from hubspot.runs where id = $1', [run])).toEqual([{ state: 'stopped' }])
    expect(await audit(world, run)).toMatchObject({ extra: 130, different: 1, repaired: 1 })
  })
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

test('rows that cannot be put right are told, however many, and whatever else there is', async () => {
  await using world = await startWorld('audits', { sandbox: { objects: { contacts: 300 } } })
  await world.load('contacts', ['firstname'])
  await world.pass(70 * 60_000, 70 * 60_000)
  const ids = idsOf(world)
  await damage(world, "update hubspot.contacts set firstname = 'wrong' where id = any ($1)", [ids.slice(0, 160)])
  world.store.purge('contacts', ids.slice(280, 290))
  const holder = await world.db.pool.connect()
  await holder.query('begin')
  await holder.query('select from hubspot.contacts where id = any ($1) for update', [[...ids.slice(0, 150), ...ids.slice(280, 286)]])
  expect(await verify(world)).toMatchObject({ different: 160, extra: 10, repaired: 14 })
  // What a run before left is counted by the next one.
  expect(await verify(world)).toMatchObject({ different: 150, extra: 6, repaired: 0 })
  await holder.query('commit')
  holder.release()
  // Some of them are read by id before; those that still wait for it are right all the same.
  const last = (await verify(world)) as { different: number; extra: number; repaired: number }
  expect(last.repaired).toBe(last.different + last.extra)
  expect(last.repaired).toBeGreaterThan(0)
  expect(await world.differences('contacts')).toEqual([])
})

test('a row that another read wrote since is not counted as compared', async () => {
  await using world = await contacts(4)
  const [{ id }] = (await world.db.query<{ id: string }>("select hubspot.verify('contacts') as id")) as [{ id: string }]
  const reading = (await hold(world, 'contacts', 'resync'))!
  const got = await reading.ask()
  await world.advance(20_000)
  world.store.edit('contacts', idsOf(world)[0]!, { firstname: 'meanwhile' })
  await world.run('contacts', 'poll')
  await world.run('contacts', 'fetch')
  await reading.commit(got)
  expect(await world.db.query('select compared::integer, different::integer from hubspot.audits where run_id = $1', [id])).toEqual([{ compared: 3, different: 0 }])
})

test('an object that is not tracked is refused by name, and asked for twice while one waits is one audit', async () => {
  await using world = await contacts(3)
  await expect(world.db.query("select hubspot.verify('contact')")).rejects.toMatchObject({ code: 'SH101', hint: expect.stringContaining('Did you mean contacts?') as string })
  const [one] = await world.db.query("select hubspot.verify('contacts'), hubspot.resync('contacts')")
  const [two] = await world.db.query('select count(*)::integer as audits from hubspot.audits')
  expect(one).toEqual({ verify: expect.any(String) as string, resync: (one as { verify: string }).verify })
  expect(two).toEqual({ audits: 1 })
})
