import { describe, expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'

// Properties that HubSpot refuses to show: whatever asks for one is answered 403.

const FIELDS = ['firstname', 'lastname', 'jobtitle', 'phone', 'email', 'city', 'company', 'website'] as const

async function contacts(options: { count?: number; properties?: readonly string[] | null } = {}): Promise<World> {
  const world = await startWorld('unreadable', { sandbox: { objects: { contacts: { count: options.count ?? 5, properties: 20 } } } })
  await world.load('contacts', options.properties === null ? undefined : (options.properties ?? FIELDS))
  return world
}

const first = (world: World) => [...world.store.records('contacts')][0]!.id
const refuse = (world: World, unreadable: 'named' | 'unnamed' | null, ...names: string[]) => {
  for (const name of names) world.store.changeProperty('contacts', name, { unreadable })
}
const problems = (world: World) =>
  world.db.query("select code, property, hint <> '' as has_hint from hubspot.problems where resolved_at is null order by property")
const state = async (world: World) => (await world.db.query("select state from hubspot.status where object = 'contacts'"))[0]?.['state']
const calls = (world: World) => world.store.counts().reduce((sum, { count }) => sum + count, 0)

describe.for(['named', 'unnamed'] as const)('a property that may not be read, and is %s in the error', (how) => {
  test('is left out alone: its column keeps what it has, everything else goes on, and it heals by itself', async () => {
    await using world = await contacts()
    const id = first(world)
    await world.advance(1_000)
    world.store.edit('contacts', id, { firstname: 'Ada', phone: '1' })
    await world.pass(11_000)
    refuse(world, how, 'phone')
    const before = calls(world)
    await world.advance(1_000)
    world.store.edit('contacts', id, { firstname: 'Grace', phone: '2' })
    await world.pass(11_000)
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'Grace', phone: '1' })
    expect(await problems(world)).toEqual([{ code: 'SH215', property: 'phone', has_hint: true }])
    expect(await state(world)).toBe('live')
    // Search, read, list of nothing, and either the one that was named or some halvings; then the read again.
    expect(calls(world) - before).toBeLessThan(how === 'named' ? 6 : 14)
    await world.pass(11 * 60_000)
    const [{ comment } = { comment: '' }] = await world.db.query<{ comment: string }>("select col_description(attrelid, attnum) as comment from pg_attribute where attrelid = 'hubspot.contacts'::regclass and attname = 'phone'")
    expect(comment).toMatch(/refuses to show it since .*: not kept up to date/)
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(6 * 60_000, 60_000)
    expect(await problems(world)).toHaveLength(1)
    expect(await world.row('contacts', id)).toMatchObject({ phone: '1' })
    refuse(world, null, 'phone')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
    const idle = calls(world)
    await world.db.query("select hubspot.pause('contacts')")
    await world.pass(3_600_000, 600_000)
    expect(calls(world) - idle).toBeLessThan(20)
  })

  test('is tried again at once by resume', async () => {
    await using world = await startWorld('unreadable', { sandbox: { objects: { contacts: { count: 5, properties: 20 } } } })
    await world.load('contacts')
    refuse(world, how, 'phone')
    await world.advance(1_000)
    const [id = ''] = [...world.store.records('contacts')].map((record) => record.id)
    world.store.edit('contacts', id, { phone: '2' })
    await world.pass(11_000)
    expect(await world.db.query('select property, unreadable_at is not null as refused from hubspot.properties where unreadable_at is not null')).toEqual([{ property: 'phone', refused: true }])
    refuse(world, null, 'phone')
    await world.db.query("select hubspot.resume('contacts')")
    await world.drain()
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('does not hold up the first load, even with others of its kind among more names than a URL takes', async () => {
    await using world = await startWorld('unreadable', { sandbox: { objects: { contacts: { count: 5, properties: 400 } } } })
    const bad = ['extra_003', 'extra_200', 'extra_201', 'extra_399', 'email', 'hs_email_open']
    refuse(world, how, ...bad)
    await world.load('contacts')
    await world.pass(60_000, 5_000)
    expect((await problems(world)).map(({ property }) => property)).toEqual([...bad].sort())
    expect(await state(world)).toBe('live')
    expect(await world.db.query('select count(*)::int as rows, count(firstname)::int > 0 as is_filled, count(extra_200)::int as none from hubspot.contacts')).toEqual([{ rows: 5, is_filled: true, none: 0 }])
    refuse(world, null, ...bad)
    await world.pass(16 * 60_000, 4 * 60_000)
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('an object that may not be read at all is parked as before, and no property is blamed', async () => {
  await using world = await contacts()
  world.store.addFault({ fault: '403', match: { object: 'contacts' } })
  await world.advance(1_000)
  await world.pass(11_000)
  expect(await state(world)).toBe('parked')
  expect((await problems(world)).map(({ code }) => code)).toEqual(['SH202'])
  expect(await world.db.query('select 1 from hubspot_private.properties where unreadable_at is not null')).toEqual([])
  world.store.removeFaults()
  await world.pass(16 * 60_000, 8 * 60_000)
  expect(await state(world)).toBe('live')
  expect(await problems(world)).toEqual([])
})

test.for(['refused', 'archived'] as const)('what a property that is %s has in _extra stays there, whatever else is read', async (how) => {
  const world = await startWorld('unreadable', { sandbox: {} })
  await using _ = world
  // text_1 is no number, the others are beyond the ceiling.
  await world.db.query("select hubspot.configure('max_columns', 5)")
  const names = ['text_0', 'text_1', 'text_2', 'text_3', 'text_4', 'text_5']
  world.store.addObject({ name: 'thing', properties: names.map((name) => ({ name, filled: false, type: name === 'text_1' ? 'number' : 'string' })) })
  world.store.create('thing', [0, 1].map((i) => ({ properties: Object.fromEntries(names.map((name) => [name, `${name} of ${i}`])) })))
  await world.db.query('select hubspot.sync()')
  await world.drain()
  await world.load('thing')
  const [id = ''] = [...world.store.records('thing')].map((record) => record.id)
  const extra = async () => (await world.row<{ _extra: Record<string, string> }>('thing', id))!._extra
  const beyond = Object.keys(await extra()).filter((name) => name.startsWith('text_') && name !== 'text_1')
  expect(beyond.length).toBeGreaterThan(1)
  expect(await extra()).toHaveProperty('text_1')
  const [gone = ''] = beyond
  const change = (isThere: boolean) => {
    for (const name of [gone, 'text_1']) {
      if (how === 'refused') world.store.changeProperty('thing', name, { unreadable: isThere ? null : 'named' })
      else if (isThere) world.store.restoreProperty('thing', name)
      else world.store.archiveProperty('thing', name)
    }
  }
  change(false)
  await world.pass(11 * 60_000, 60_000)
  for (const text_0 of ['touched', 'touched again']) {
    await world.advance(1_000)
    world.store.edit('thing', id, { text_0, [beyond[1]!]: text_0 })
    await world.pass(30_000, 10_000)
    expect(await world.row('thing', id)).toMatchObject({ text_0 })
    expect(await extra()).toMatchObject({ [gone]: `${gone} of 0`, text_1: 'text_1 of 0', [beyond[1]!]: text_0 })
  }
  await world.db.query("select hubspot.resync('thing')")
  await world.drain()
  expect(await world.db.query("select updated from hubspot.runs where stream = 'resync' order by id desc limit 1")).toEqual([{ updated: '0' }])
  // Nobody can mend the value of a property that is archived.
  const misfits = (await world.db.query<{ code: string }>("select code from hubspot.problems where resolved_at is null and code = 'SH209'")).length
  expect(misfits).toBe(how === 'refused' ? 2 : 0)
  change(true)
  await world.pass(20 * 60_000, 5 * 60_000)
  expect(await world.differences('thing')).toEqual([])
  expect((await world.db.query<{ code: string }>('select code from hubspot.problems where resolved_at is null')).map(({ code }) => code)).toEqual(['SH209', 'SH209'])
  if (how === 'archived') return
  // No longer chosen, it is kept no more than any other.
  change(false)
  world.store.edit('thing', id, { text_0: 'once more' })
  await world.pass(11 * 60_000, 60_000)
  await world.db.query("select hubspot.track('thing', $1)", [names.filter((name) => name !== gone)])
  await world.drain()
  expect(await extra()).not.toHaveProperty(gone)
  expect(await extra()).toHaveProperty('text_1')
})

test('one that is no longer chosen, or is archived, or goes with its object, is no problem', async () => {
  await using world = await contacts()
  refuse(world, 'unnamed', 'phone', 'city')
  await world.db.query("select hubspot.refresh('contacts', $1)", [[first(world)]])
  await world.drain()
  expect((await problems(world)).map(({ property }) => property)).toEqual(['city', 'phone'])
  await world.db.query("select hubspot.track('contacts', '{firstname,city}')")
  await world.drain()
  expect((await problems(world)).map(({ property }) => property)).toEqual(['city'])
  world.store.archiveProperty('contacts', 'city')
  await world.pass(11 * 60_000)
  expect((await problems(world)).filter(({ code }) => code === 'SH215')).toEqual([])
  await world.db.query("select hubspot.track('contacts', '{firstname,phone}')")
  await world.drain()
  expect((await problems(world)).map(({ property }) => property)).toEqual(['phone'])
  await world.db.query("select hubspot.untrack('contacts')")
  expect(await problems(world)).toEqual([])
  refuse(world, null, 'phone')
  await world.load('contacts', ['firstname', 'phone'])
  expect(await world.differences('contacts')).toEqual([])
})

test('what refuses the dates or the merges refuses the object', async () => {
  await using world = await contacts()
  refuse(world, 'named', 'hs_merged_object_ids')
  await world.db.query("select hubspot.refresh('contacts', $1)", [[first(world)]])
  await world.drain()
  expect(await state(world)).toBe('parked')
  expect((await problems(world)).map(({ code }) => code)).toEqual(['SH202'])
})

describe('a property that answers leave out without a word', () => {
  test.for(['null', 'absent'] as const)('was archived: what it had stays, whatever is read before its definition is (empty values are %s)', async (emptyKeys) => {
    const world = await startWorld('unreadable', { sandbox: { objects: { contacts: { count: 30, properties: 20 } }, settings: { emptyKeys } } })
    await using _ = world
    const ids = [...world.store.records('contacts')].map(({ id }) => id)
    world.store.edit('contacts', ids, { city: 'Bern' })
    await world.load('contacts', FIELDS)
    await world.advance(1_000)
    world.store.archiveProperty('contacts', 'city')
    world.store.edit('contacts', ids.slice(0, 10), { firstname: 'edited' })
    await world.pass(40_000, 10_000)
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(60_000, 10_000)
    expect(await world.db.query("select count(*) from hubspot.contacts where city = 'Bern'")).toEqual([{ count: '30' }])
    expect(await world.db.query("select count(*) from hubspot.contacts where firstname = 'edited'")).toEqual([{ count: '10' }])
    expect(await problems(world)).toMatchObject([{ code: 'SH103', property: 'city' }])
  })

  test.for(['null', 'absent'] as const)('was emptied (empty values are %s)', async (emptyKeys) => {
    const world = await startWorld('unreadable', { sandbox: { objects: { contacts: { count: 5, properties: 20 } }, settings: { emptyKeys } } })
    await using _ = world
    world.store.edit('contacts', first(world), { city: 'Bern' })
    await world.load('contacts', FIELDS)
    await world.advance(1_000)
    world.store.edit('contacts', first(world), { city: null })
    await world.pass(40_000, 5_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
    expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  })

  test('is kept back: the column keeps what it has, with a problem, and is read when it shows again', async () => {
    let isSilent = false
    const world = await startWorld('unreadable', {
      sandbox: { objects: { contacts: { count: 5, properties: 20 } } },
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          return isSilent ? { ...answer, body: Buffer.from(answer.body.toString().replaceAll(/"city":(null|"[^"]*"),?/g, '')) } : answer
        },
      }),
    })
    await using _ = world
    const id = first(world)
    world.store.edit('contacts', id, { city: 'Bern', zip: null, company: null })
    await world.load('contacts', FIELDS)
    await world.advance(1_000)
    isSilent = true
    world.store.edit('contacts', id, { city: 'Basel', firstname: 'Ada' })
    await world.pass(60_000, 10_000)
    expect(await world.row('contacts', id)).toMatchObject({ city: 'Bern', firstname: 'Ada' })
    expect(await problems(world)).toEqual([{ code: 'SH215', property: 'city', has_hint: true }])
    await world.pass(40 * 60_000, 5 * 60_000)
    expect(await problems(world)).toHaveLength(1)
    expect(await world.row('contacts', id)).toMatchObject({ city: 'Bern' })
    isSilent = false
    await world.pass(20 * 60_000, 4 * 60_000)
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('what it takes to try them again is forecast, and stretched where the day is short', async () => {
  await using world = await contacts()
  refuse(world, 'named', 'phone', 'city', 'company')
  await world.advance(1_000)
  world.store.edit('contacts', first(world), { firstname: 'Ada' })
  await world.pass(11_000)
  expect(await world.db.query(`select every::text, requests_per_day::float8 as calls from hubspot.forecast where stream = 'probe'`)).toEqual([
    { every: '00:15:00', calls: 3 * 96 },
  ])
  await world.db.query(`select hubspot.set_quota('daily', 2000)`)
  expect(await world.db.query(`select stretched_every > every as is_stretched, limited_by from hubspot.forecast where stream = 'probe'`)).toEqual([
    { is_stretched: true, limited_by: 'daily' },
  ])
  await world.db.query(`select hubspot.set_quota('daily', 250000)`)
  refuse(world, null, 'phone', 'city', 'company')
  await world.pass(2 * 3_600_000, 600_000)
  expect(await world.db.query(`select stream from hubspot.forecast where stream = 'probe'`)).toEqual([])
})
