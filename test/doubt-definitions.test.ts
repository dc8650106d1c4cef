import { describe, expect, test } from 'vitest'
import { startGraph } from './support/associations.ts'
import type { World } from './support/sync.ts'

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
