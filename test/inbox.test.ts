import { describe, expect, test } from 'vitest'
import { createTurns } from '../src/sync/deliver.ts'
import { createInbox } from '../src/sync/inbox.ts'
import { tasks } from '../src/tasks.ts'
import { startWorld, type World } from './support/sync.ts'
import { changeOf, idsOf, queue, siteOf } from './support/webhooks.ts'

async function worldOf(): Promise<World> {
  const world = await startWorld('inbox', { sandbox: { objects: { contacts: 3, deals: 3 } } })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  await world.advance(1_000)
  return world
}
const waiting = ({ db }: World) => db.query('select object_type from hubspot_private.inbox where applied_at is null')
const jobs = ({ db }: World) => db.query("select 1 from graphile_worker.jobs where task_identifier = 'hubspot:inbox'")

describe('jobs for events that were left lying', () => {
  test('end at once, and leave their places to others, while webhooks go on', async () => {
    await using world = await worldOf()
    const [one, two] = idsOf(world).map(Number)
    const gathered = Promise.withResolvers<void>()
    const inbox = createInbox(world.worker('worker', { sleep: () => gathered.promise }))
    await using site = siteOf(world, { inbox })
    await site.send([changeOf(world, one)])
    await expect.poll(() => waiting(world)).toEqual([])
    await site.send([changeOf(world, two)])
    await tasks['hubspot:inbox'].run({}, { ...world.deps, env: { baseUrl: world.sandbox.url }, turns: createTurns(1), inbox })
    expect(await waiting(world)).toHaveLength(1)
    gathered.resolve()
    await inbox.idle()
    expect(await waiting(world)).toEqual([])
  })

  test('are queued for none that is still gathered with others', async () => {
    await using world = await worldOf()
    await using site = siteOf(world, { inbox: { wake: () => undefined } })
    // Two objects are tracked: 2 calls at half of 8 a 10 s.
    await world.db.query("select hubspot.set_quota('burst', 8)")
    await site.send([changeOf(world, Number(idsOf(world)[0]))])
    await world.advance(6_000)
    await world.db.query('select hubspot_private.sweep()')
    expect(await jobs(world)).toEqual([])
    await world.advance(2_000)
    await world.db.query('select hubspot_private.sweep()')
    expect(await jobs(world)).toHaveLength(1)
  })
})

test('a table that someone holds keeps no event waiting, of its own records or of others', async () => {
  await using world = await worldOf()
  await using site = siteOf(world, { inbox: { wake: () => undefined } })
  const [one = '', two = ''] = idsOf(world)
  const [deal = ''] = idsOf(world, 'deals')
  await site.send([
    changeOf(world, Number(one)), changeOf(world, Number(two), { subscriptionType: 'contact.privacyDeletion' }),
    changeOf(world, Number(deal), { subscriptionType: 'deal.propertyChange' }),
  ])
  const user = await world.db.pool.connect()
  await user.query('begin; lock table hubspot.contacts in access exclusive mode')
  const done = await world.db.query('select applied, objects from hubspot_private.inbox_apply()').catch(String)
  await user.query('rollback')
  user.release()
  expect(done).toEqual([{ applied: 3, objects: ['contacts', 'deals'] }])
  expect(await waiting(world)).toEqual([])
  expect(await queue(world)).toMatchObject([{ object: 'contacts', id: one }, { object: 'contacts', id: two }, { object: 'deals', id: deal }])
  expect(await world.db.query('select id from hubspot_private.erasures')).toEqual([{ id: two }])
})

test('what is to be erased of an object that is no longer tracked waits for no end of the events', async () => {
  await using world = await worldOf()
  const [one = ''] = idsOf(world)
  const [deal] = idsOf(world, 'deals').map(Number)
  await world.db.query(`select hubspot.untrack('contacts')`)
  let passes = 0
  let left: unknown
  const inbox = createInbox(world.worker('worker', {
    sleep: async () => {
      passes += 1
      if (passes < 3) await site.send([changeOf(world, deal, { subscriptionType: 'deal.propertyChange', eventId: passes })])
      else left ??= await world.db.query('select id from hubspot.contacts where id = $1', [one])
    },
  }))
  await using site = siteOf(world, { inbox })
  await site.send([changeOf(world, Number(one), { subscriptionType: 'contact.privacyDeletion' })])
  await inbox.idle()
  expect(left).toEqual([])
})
