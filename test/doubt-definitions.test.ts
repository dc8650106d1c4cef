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
