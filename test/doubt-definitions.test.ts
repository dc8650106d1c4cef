import { describe, expect, test } from 'vitest'
import { startGraph } from './support/associations.ts'
import { startWorld, type World } from './support/sync.ts'

const problems = async (world: World) => (await world.db.query<{ code: string }>('select code from hubspot.problems where resolved_at is null')).map(({ code }) => code)

describe('owners, pipelines and types of associations that HubSpot says it has none of', () => {
  const PARTS = { owners: ['owners'], pipelines: ['pipelines', 'pipeline_stages'], labels: ['association_types'] } as const
  const HOUR = 3_600_000
  async function graph() {
    const says: { next: object | undefined } = { next: undefined }
    let part: keyof typeof PARTS = 'owners'
    const world = await startGraph({ deals: 3, contacts: 3 }, {
      pairs: [['deals', 'contacts']],
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          return says.next === undefined || !request.path.includes(part) ? answer : { ...answer, body: Buffer.from(JSON.stringify(says.next)) }
        },
      }),
    })
    const counts = async () => {
      const [row] = await world.db.query(`select ${PARTS[part].map((table) => `(select count(*)::integer from hubspot.${table}) as ${table}`).join(', ')}`)
      return Object.values(row as Record<string, number>)
    }
    return { world, counts, say: (which: keyof typeof PARTS, what: object | undefined) => void ((part = which), (says.next = what)) }
  }
  /** Asks anew for all of them. */
  const ask = async (world: World) => {
    await world.advance(HOUR)
    await world.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() where stream in ('schema', 'associations')")
    await world.drain()
  }

  test.for(['owners', 'pipelines', 'labels'] as const)('%s stay when it says so once, or says nothing, and go when it says so again', async (part) => {
    const { world, counts, say } = await graph()
    await using _ = world
    say(part, undefined)
    const before = await counts()
    expect(before.every((count) => count > 0)).toBe(true)
    say(part, {})
    await ask(world)
    expect(await counts()).toEqual(before)
    // It is asked again.
    expect(await world.db.query("select r.error_code from hubspot_private.streams s join hubspot_private.runs r on r.id = s.run_id where s.failures > 0"))
      .toContainEqual({ error_code: 'SH208' })
    say(part, undefined)
    await world.pass(20 * 60_000, 60_000)
    expect(await problems(world)).toEqual([])
    for (let times = 0; times < 2; times += 1) {
      say(part, { results: [] })
      await ask(world)
      expect(await counts()).toEqual(before)
      if (times > 0) break
      // That it has some after all ends the doubt.
      say(part, undefined)
      await ask(world)
      expect(await counts()).toEqual(before)
    }
    await ask(world)
    expect(await counts()).toEqual(before.map(() => 0))
    say(part, undefined)
    await ask(world)
    expect(await counts()).toEqual(before)
    expect(await problems(world)).toEqual([])
  })
})

test('a pipeline that says nothing of its stages, or a property of its options, keeps them; the others follow', async () => {
  let isSilent = false
  await using world = await startWorld('silent', {
    sandbox: { objects: { deals: 3 } },
    client: (client) => ({
      ...client,
      async request(request) {
        const answer = await client.request(request)
        if (!isSilent || !/properties|pipelines/.test(request.path)) return answer
        const body = JSON.parse(answer.body.toString()) as { results: { id?: string; name?: string; stages?: unknown; options?: unknown }[] }
        for (const one of body.results) {
          if (one.id === 'a') delete one.stages
          if (one.name === 'dealtype') one.options = null
        }
        return { ...answer, body: Buffer.from(JSON.stringify(body)) }
      },
    }),
  })
  const pipeline = (id: string, stages: string[]) => ({ id, label: id, stages: stages.map((stage) => ({ id: stage })) })
  world.store.setPipelines('deals', [pipeline('a', ['a1']), pipeline('b', ['b1', 'b2'])])
  await world.load('deals')
  const stages = async () => (await world.db.query<{ id: string }>('select id from hubspot.pipeline_stages order by id')).map(({ id }) => id)
  const options = async () => (await world.db.query("select value from hubspot.property_options where property = 'dealtype'")).length
  const before = await options()
  expect(before).toBeGreaterThan(0)
  expect(await stages()).toEqual(['a1', 'b1', 'b2'])
  isSilent = true
  world.store.setPipelines('deals', [pipeline('a', ['a2']), pipeline('b', ['b2'])])
  await world.pass(11 * 60_000, 60_000)
  expect(await stages()).toEqual(['a1', 'b2'])
  expect(await options()).toBe(before)
  isSilent = false
  await world.pass(11 * 60_000, 60_000)
  expect(await stages()).toEqual(['a2', 'b2'])
  expect(await problems(world)).toEqual([])
})

describe('definitions that are empty, or cut short, for once', () => {
  type Body = { results: Record<string, unknown>[]; paging?: unknown }
  const MINUTE = 60_000
  async function altered() {
    const how: { now: undefined | ((path: string, body: Body) => Body | undefined) } = { now: undefined }
    const world = await startWorld('empty', {
      sandbox: { objects: { deals: 3, vehicle: 5 } },
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          if (how.now === undefined || !/schemas|owners|pipelines|properties/.test(request.path)) return answer
          const body = how.now(request.path, JSON.parse(answer.body.toString()) as Body)
          return body === undefined ? answer : { ...answer, body: Buffer.from(JSON.stringify(body)) }
        },
      }),
    })
    await world.load('vehicle')
    await world.load('deals')
    const count = async (table: string) => (await world.db.query<{ n: number }>(`select count(*)::integer as n from hubspot.${table}`))[0]!.n
    /** Reads all definitions once. */
    const read = async () => {
      await world.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() where stream = 'schema'")
      await world.drain()
    }
    return { world, how, count, read }
  }

  test.for([
    ['none', () => []],
    ['one without its id', (results: object[]) => results.map(({ ...rest }) => ({ ...rest, objectTypeId: null }))],
  ] as const)('custom objects, %s: they are asked for again in a minute, and nothing is archived but what is missing twice', async ([, spoil]) => {
    const { world, how, count, read } = await altered()
    await using _ = world
    how.now = (path, body) => /schemas/.test(path) ? { ...body, results: spoil(body.results) } : undefined
    await read()
    how.now = undefined
    world.store.resetCalls()
    await world.pass(2 * MINUTE, MINUTE / 2)
    expect(world.store.calls({ kind: 'schemas' })).toHaveLength(1)
    expect(await problems(world)).toEqual([])
    expect(await world.db.query("select from hubspot.runs where object = 'vehicle' and stream = 'resync'")).toEqual([])
    const owners = await count('owners')
    how.now = (path, body) => /owners/.test(path) ? { results: [] } : /schemas/.test(path) ? { ...body, results: spoil(body.results) } : undefined
    await read()
    await world.pass(2 * MINUTE, MINUTE / 2)
    expect(await problems(world)).toEqual(['SH222'])
    // What is asked along with them is not said twice by that.
    expect(await count('owners')).toBe(owners)
    how.now = undefined
    await world.pass(20 * MINUTE, MINUTE)
    expect(await problems(world)).toEqual([])
    expect(await world.differences('vehicle')).toEqual([])
  })

  // By how many are left: owners are listed twice, those that are archived apart.
  test.for([
    ['owners', (path: string, body: Body) => /owners/.test(path) ? { results: body.results.slice(0, 1) } : undefined, () => 2],
    ['pipeline_stages', (path: string, body: Body) => /pipelines/.test(path) ? { results: body.results.map((one) => ({ ...one, stages: [] })) } : undefined, () => 0],
    ['owners', (path: string, body: Body) => /owners/.test(path) ? { results: body.results.slice(0, Math.floor(body.results.length / 2)) } : undefined, (before: number) => Math.floor(before / 2)],
  ] as const)('%s stay, and go when it says so again', async ([table, spoil, left]) => {
    const { world, how, count, read } = await altered()
    await using _ = world
    const before = await count(table)
    expect(before).toBeGreaterThan(4)
    await read()
    for (let times = 0; times < 2; times += 1) {
      how.now = spoil
      await read()
      expect(await count(table)).toBe(before)
      if (times > 0) break
      how.now = undefined
      await read()
      expect(await count(table)).toBe(before)
    }
    await read()
    expect(await count(table)).toBe(left(before))
    how.now = undefined
    await read()
    expect(await count(table)).toBe(before)
    expect(await problems(world)).toEqual([])
  })

  test('properties stay when half of them are not listed once, and are archived within the minute when that is said again, one alone at once', async () => {
    const { world, how, read } = await altered()
    await using _ = world
    const { db, store } = world
    const there = async () => (await db.query<{ property: string }>("select property from hubspot.properties where object = 'deals' and archived_at is null order by 1")).map(({ property }) => property)
    const [id = ''] = [...store.records('deals')].map((record) => record.id)
    const row = async () => (await world.row<Record<string, unknown>>('deals', id))!
    const before = await there()
    for (const most of [3, before.length / 2]) {
      let cuts = 0
      how.now = (path, body) => /properties/.test(path) && body.results.length === before.length && (cuts += 1) === 1 ? { results: body.results.slice(0, most) } : undefined
      await read()
      expect(await there()).toEqual(before)
      store.edit('deals', id, { dealname: `named ${most}` })
      await world.pass(MINUTE, 10_000)
      expect(cuts).toBeGreaterThan(1)
      expect(await there()).toEqual(before)
      expect(await row()).toMatchObject({ dealname: `named ${most}` })
    }
    how.now = undefined
    // Archived indeed: believed, though a record is read meanwhile, and what its column has is kept.
    const many = before.filter((name) => !/^(hs_object_id|(hs_)?createdate|hs_lastmodifieddate|dealname)$/.test(name)).slice(0, Math.ceil(before.length / 2))
    const was = await row()
    for (const name of many) store.archiveProperty('deals', name)
    store.edit('deals', id, { dealname: 'without' })
    await read()
    await world.pass(MINUTE, 10_000)
    expect(await there()).toEqual(before.filter((name) => !many.includes(name)))
    expect(await row()).toMatchObject({ dealname: 'without' })
    expect(await row()).toMatchObject(Object.fromEntries(many.map((name) => [name, was[name]])))
    for (const name of many) store.restoreProperty('deals', name)
    await read()
    expect(await there()).toEqual(before)
    store.archiveProperty('deals', many[0]!)
    await read()
    expect(await there()).toEqual(before.filter((name) => name !== many[0]))
    expect(await problems(world)).toEqual([])
  })

  test('what has no name, or no id, that is text or a number is left out, and no property is archived for it', async () => {
    const { world, how, read } = await altered()
    await using _ = world
    const JUNK = [[null], { a: null }, true, null, []]
    const known = () => Promise.all([
      'object, property, archived_at is null as is_there from hubspot.properties', 'object, property, value from hubspot.property_options', 'object, id from hubspot.pipelines',
      'object, pipeline_id, id from hubspot.pipeline_stages', 'id from hubspot.owners', 'object, object_type_id from hubspot.object_types',
    ].map((what) => world.db.query(`select ${what} order by 1, 2`.replace(/(owners order by 1), 2/, '$1'))))
    await read()
    const before = await known()
    const more = (list: unknown, key: string, rest: object = {}) => [...list as object[], ...JUNK.map((junk) => ({ ...rest, [key]: junk }))] as Record<string, unknown>[]
    how.now = (path, body) => {
      if (/schemas/.test(path)) return { results: [...body.results, ...JUNK.map((name) => ({ ...body.results[0], objectTypeId: '2-999', name, fullyQualifiedName: 'p1_x' })), ...JUNK.filter((junk) => junk !== null).map((fullyQualifiedName) => ({ ...body.results[0], objectTypeId: '2-998', name: 'x', fullyQualifiedName }))] }
      if (/owners/.test(path)) return { ...body, results: more(body.results, 'id') }
      if (/pipelines/.test(path)) return { results: more(body.results.map((one) => ({ ...one, stages: more(one['stages'], 'id') })), 'id', { label: 'x', stages: [] }) }
      return { results: more(body.results.slice(1).map((one) => ({ ...one, options: more(one['options'], 'value') })), 'name', { type: 'string' }) }
    }
    await read()
    how.now = undefined
    expect((await known()).map((rows) => rows.length)).toEqual(before.map((rows) => rows.length))
    await read()
    expect(await known()).toEqual(before)
    expect(await problems(world)).toEqual([])
  })
})
