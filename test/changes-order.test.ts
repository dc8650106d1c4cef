import { expect, test } from 'vitest'
import { startGraph } from './support/associations.ts'
import { allFinal } from './support/feed.ts'
import { hold, type World } from './support/sync.ts'
import { createLiveReads } from '../src/sync/live.ts'

// The feed is read in the order of transactions' numbers, so these must follow what transactions do to each other.

/** Until so many sessions wait for a lock. */
async function waiting({ db }: World, count: number): Promise<void> {
  for (;;) {
    const [row] = await db.query<{ n: number }>("select count(*)::integer as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
    if (row!.n === count) return
  }
}

test('a step that waits for another comes after it in the feed: no association is told of after the record is gone', async () => {
  await using world = await startGraph({ deals: 3, contacts: 3 }, { pairs: [['deals', 'contacts']] })
  const { db, store } = world
  const [deal = ''] = world.ids('deals')
  store.associate('deals', deal, 'contacts', world.ids('contacts')[0]!)
  await db.query("select hubspot_private.associations_dirty('deals', array[$1::bigint])", [deal])
  const linking = (await world.hold('deals', 'contacts'))!
  const linked = await linking.ask()
  await world.advance(1_000)
  store.archive('deals', [deal])
  await db.query("update hubspot_private.streams set next_at = hubspot_private.clock() where (object, stream) = ('deals', 'archive')")
  const sweeping = (await hold(world, 'deals', 'archive'))!
  const swept = await sweeping.ask()

  // Someone looks at the run of the first for a moment, and holds it up where it counts what it did.
  const third = await db.pool.connect()
  await third.query("begin; select from hubspot_private.runs where (object, stream, state) = ('deals', 'archive', 'running') for update")
  const first = sweeping.commit(swept)
  await waiting(world, 1)
  const second = linking.commit(linked)
  await waiting(world, 2)
  await third.query('commit')
  third.release()
  await Promise.all([first, second])

  await allFinal(db)
  const feed = await db.query<{ op: string }>('select op from hubspot.changes_after(null) where record_id = $1', [deal])
  expect(feed.map(({ op }) => op)).toEqual(['delete'])
  expect(await db.query('select from hubspot.deals_contacts')).toEqual([])
})

test('so does a live read that waits for a step', async () => {
  await using world = await startGraph({ deals: 3, contacts: 3 }, { pairs: [['deals', 'contacts']] })
  const { db, store } = world
  const [deal = '', other = ''] = world.ids('deals')
  store.associate('deals', deal, 'contacts', world.ids('contacts')[0]!)
  await db.query("select hubspot_private.associations_dirty('deals', array[$1::bigint])", [deal])
  const linking = (await world.hold('deals', 'contacts'))!
  const linked = await linking.ask()
  await world.advance(1_000)
  store.archive('deals', [deal])
  store.edit('deals', other, { dealname: 'new name' })
  await world.advance(1_000)
  const reads = createLiveReads(world.deps)

  // Someone looks at the stream of the first for a moment.
  const third = await db.pool.connect()
  await third.query("begin; select from hubspot_private.streams where (object, stream) = ('deals', 'associations') for update")
  const first = linking.commit(linked)
  await waiting(world, 1)
  const second = reads.records('deals', [deal, other], { maxAgeMs: 0, mostMs: 5_000 })
  await waiting(world, 2)
  await third.query('commit')
  third.release()
  await Promise.all([first, second])

  await allFinal(db)
  const feed = await db.query<{ op: string }>('select op from hubspot.changes_after(null) where record_id = $1', [deal])
  expect(feed.map(({ op }) => op)).toEqual(['associate', 'delete', 'disassociate'])
  expect(await db.query('select from hubspot.deals_contacts')).toEqual([])
})
