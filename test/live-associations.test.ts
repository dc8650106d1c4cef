import { describe, expect, test } from 'vitest'
import { startGraph } from './support/associations.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { createLiveReads } from '../src/sync/live.ts'

async function paired(settings: NonNullable<NonNullable<Parameters<typeof startLiveWorld>[1]>['sandbox']>['settings'] = {}, contacts = 4): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { sandbox: { objects: { contacts, deals: 4 }, settings } })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
  await world.drain()
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)

/** Asks through a foreign table, what is there as `deal contact`. */
const of = async (world: LiveWorld, where: string) => (await world.ask<{ d: string; c: string }>(
  `select distinct deal_id::text as d, contact_id::text as c from hubspot_live.deals_contacts where ${where}`)).map(({ d, c }) => `${d} ${c}`)

/** Asks at the gateway itself: what is there, and the warnings. */
async function direct(world: LiveWorld) {
  const client = await world.direct()
  const told: string[] = []
  client.on('notice', ({ message }) => told.push(message ?? ''))
  return async (where: string) => {
    const { rows } = await client.query<{ d: string; c: string }>(`select distinct deal_id::text as d, contact_id::text as c from hubspot.deals_contacts where ${where}`)
    return { rows: rows.map(({ d, c }) => `${d} ${c}`), told: told.splice(0) }
  }
}

test('are read by the records at either end, and whole where any may be meant', async () => {
  await using world = await paired()
  const [deal = '', other = '', third = ''] = idsOf(world, 'deals')
  const [contact = '', another = ''] = idsOf(world)
  world.store.associate('deals', deal, 'contacts', contact)
  expect(await of(world, `deal_id = ${deal}`)).toContain(`${deal} ${contact}`)
  world.store.associate('deals', other, 'contacts', another)
  expect(await of(world, `contact_id = ${another}`)).toContain(`${other} ${another}`)
  await world.advance(1)
  world.store.associate('deals', third, 'contacts', another)
  world.store.edit('deals', third, { dealname: 'touched' })
  expect(await of(world, 'true')).toContain(`${third} ${another}`)
  // A record that the mirror lacks.
  world.store.create('deals', [{ id: 999_999, properties: { dealname: 'new' } }])
  world.store.associate('deals', '999999', 'contacts', contact)
  expect(await of(world, 'deal_id = 999999')).toEqual([`999999 ${contact}`])
  world.store.create('deals', [{ id: 999_998, properties: { dealname: 'newer' } }])
  world.store.associate('deals', '999998', 'contacts', contact)
  expect(await of(world, `contact_id = ${contact}`)).toContain(`999998 ${contact}`)
})

test('that ended are gone, by either end and where any may be meant', async () => {
  await using world = await paired()
  const deals = idsOf(world, 'deals')
  const [contact = '', another = ''] = idsOf(world)
  for (const deal of deals) world.store.associate('deals', deal, 'contacts', contact)
  world.store.associate('deals', deals[0]!, 'contacts', another)
  expect(await of(world, `contact_id = ${contact}`)).toHaveLength(4)
  await world.advance(1_000)
  world.store.dissociate('deals', deals[0]!, 'contacts', contact)
  expect((await of(world, `contact_id = ${contact}`)).toSorted()).toEqual(deals.slice(1).map((deal) => `${deal} ${contact}`).toSorted())
  for (const deal of deals.slice(1)) world.store.dissociate('deals', deal, 'contacts', contact)
  expect(await of(world, `contact_id = ${contact}`)).toEqual([])
  expect(await of(world, 'true')).toEqual([`${deals[0]} ${another}`])
})

test('of a record with more than one answer holds, that ended, are gone: by the second read, which makes sure', async () => {
  await using world = await paired({ associationPage: 10 }, 30)
  const [deal = ''] = idsOf(world, 'deals')
  world.store.associateAll('deals', 'contacts', idsOf(world).map((toId) => ({ fromId: deal, toId })))
  expect(await of(world, `deal_id = ${deal}`)).toHaveLength(30)
  await world.advance(1_000)
  const ask = await direct(world)
  world.store.dissociate('deals', deal, 'contacts', idsOf(world)[3]!)
  const { rows, told } = await ask(`deal_id = ${deal}`)
  expect(told).toEqual([])
  expect(rows).toHaveLength(29)
})

describe('that someone holds', () => {
  test.for(['deal', 'contact', 'any'] as const)('are answered as they are, with a warning each time, by %s', async (by) => {
    await using world = await paired()
    const [deal = ''] = idsOf(world, 'deals')
    const [contact = ''] = idsOf(world)
    world.store.associate('deals', deal, 'contacts', contact)
    const edge = `${deal} ${contact}`
    const where = { deal: `deal_id = ${deal}`, contact: `contact_id = ${contact}`, any: 'true' }[by]
    world.store.edit('deals', deal, { dealname: 'touched' })
    expect(await of(world, 'true')).toEqual([edge])
    await world.db.query(`select hubspot.set_max_age('deals_contacts', '1 minute')`)
    const ask = await direct(world)
    await world.ask('begin')
    await world.ask('select from hubspot.deals_contacts for update')
    await world.advance(61_000)
    world.store.dissociate('deals', deal, 'contacts', contact)
    world.store.edit('deals', deal, { dealname: 'touched again' })
    await world.advance(1_000)
    const held = { rows: [edge], told: [`hubspot.deals_contacts may be older than HubSpot for deal_id ${deal}: what HubSpot has could not be written`] }
    for (let tries = 0; tries < 4; tries += 1) {
      expect(await ask(where)).toEqual(held)
      await world.advance(10)
    }
    await world.ask('rollback')
    await world.advance(1_001)
    expect(await ask(where)).toEqual({ rows: [], told: [] })
  })

  test('are asked for again however old an answer may be, until they are free', async () => {
    await using world = await startGraph({ deals: 2, contacts: 2 }, {
      pairs: [['deals', 'contacts']],
      make: (graph) => graph.store.associate('deals', graph.ids('deals')[0]!, 'contacts', graph.ids('contacts')[0]!),
    })
    const [deal = ''] = world.ids('deals')
    const [pair] = await world.db.query<{ number: number }>('select number from hubspot_private.pairs')
    const reads = createLiveReads(world.deps)
    const of = { object: 'deals', pair: pair!.number }
    const ask = (maxAgeMs: number) => reads.edges({ ...of, from: [deal] }, { maxAgeMs, mostMs: 4_000 })
    const held = await world.db.pool.connect()
    await held.query('begin; select from hubspot.deals_contacts for update')
    await world.advance(1_000)
    world.store.dissociate('deals', deal, 'contacts', world.ids('contacts')[0]!)
    expect(await ask(0)).toEqual({ from: [deal], to: [] })
    await held.query('rollback')
    held.release()
    expect(await ask(60_000)).toEqual({ from: [], to: [] })
    expect(await world.db.query('select from hubspot.deals_contacts')).toEqual([])
    world.store.resetCalls()
    expect(await ask(60_000)).toEqual({ from: [], to: [] })
    expect(world.store.calls()).toEqual([])
  })
})

test.for(['deal', 'contact', 'any'] as const)('of a record whose insert ends the session are answered as they are, and those of others are fresh, by %s', async (by) => {
  await using world = await paired()
  const [bad = '', good = '', other = ''] = idsOf(world, 'deals')
  const [contact = '', another = ''] = idsOf(world)
  await world.db.query(`create function public.kill() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
    create trigger kill before insert on hubspot.deals_contacts for each row when (new.deal_id = ${bad}) execute function public.kill()`)
  const ask = await direct(world)
  const where = { deal: `deal_id in (${bad}, ${good}, ${other})`, contact: `contact_id = ${contact}`, any: 'true' }[by]
  const told = [`hubspot.deals_contacts may be older than HubSpot for deal_id ${bad}: what HubSpot has could not be written`]
  for (const deal of [bad, good, other]) {
    world.store.associate('deals', deal, 'contacts', contact)
    world.store.edit('deals', deal, { dealname: 'touched' })
  }
  await world.advance(1_000)
  expect(await ask(where)).toEqual({ rows: [`${good} ${contact}`, `${other} ${contact}`], told })
  // Known of it, the others wait for nothing.
  world.store.dissociate('deals', good, 'contacts', contact)
  world.store.associate('deals', good, 'contacts', another)
  world.store.edit('deals', good, { dealname: 'touched again' })
  await world.advance(2_000)
  expect(await ask(where)).toEqual({ rows: [...by === 'contact' ? [] : [`${good} ${another}`], `${other} ${contact}`], told })
  await world.db.query('drop trigger kill on hubspot.deals_contacts')
  await world.advance(2_000)
  expect(await ask(where)).toEqual({
    rows: [`${bad} ${contact}`, ...by === 'contact' ? [] : [`${good} ${another}`], `${other} ${contact}`], told: [],
  })
})
