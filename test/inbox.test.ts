import { expect, test } from 'vitest'
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
