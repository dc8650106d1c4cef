import { describe, expect, test } from 'vitest'
import { type LiveWorld, startLiveWorld } from './support/live.ts'

async function contacts(count: number, options: Parameters<typeof startLiveWorld>[1] = {}): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { ...options, sandbox: { ...options.sandbox, objects: { contacts: count, ...options.sandbox?.objects } } })
  await world.load('contacts', ['firstname', 'lastname', 'email'])
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)

describe('by id', () => {
  test('a record that was changed is seen by the next select, by a constant, a parameter and a list', async () => {
    await using world = await contacts(5)
    const [one = '', two = ''] = idsOf(world)
    world.store.edit('contacts', one, { firstname: 'first' })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${one}`)).toEqual([{ firstname: 'first' }])
    expect(world.calls()).toEqual(['batch read'])
    world.store.edit('contacts', one, { firstname: 'second' })
    expect(await world.ask('select firstname from hubspot_live.contacts where id = $1', [one])).toEqual([{ firstname: 'second' }])
    world.store.edit('contacts', [one, two], { firstname: 'third' })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id in (${one}, ${two})`)).toEqual([{ firstname: 'third' }, { firstname: 'third' }])
    expect(world.calls()).toEqual(['batch read', 'batch read'])
    expect(await world.row('contacts', one)).toMatchObject({ firstname: 'third' })
  })

  test('in one transaction, each statement sees what HubSpot has by then', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.ask('begin')
    for (const name of ['first', 'second', 'third']) {
      world.store.edit('contacts', id, { firstname: name })
      expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: name }])
    }
    await world.ask('commit')
  })

  test('one that is gone from HubSpot leaves the mirror, and one that is new comes into it', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    world.store.archive('contacts', id)
    expect(await world.ask(`select from hubspot_live.contacts where id = ${id}`)).toEqual([])
    expect(await world.row('contacts', id)).toBeUndefined()
    const [made] = world.store.create('contacts', [{ id: 777_777, properties: { firstname: 'new' } }])
    expect(made).toBeDefined()
    expect(await world.ask('select firstname from hubspot_live.contacts where id = 777777')).toEqual([{ firstname: 'new' }])
    expect(await world.ask('select from hubspot_live.contacts where id = 777778')).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('anything else', () => {
  test('what search shows is seen by the next query', async () => {
    await using world = await contacts(150)
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'Zaphod' })
    world.store.create('contacts', [{ id: 888_888, properties: { firstname: 'Zaphod' } }])
    expect(await world.ask(`select count(*)::integer as n from hubspot_live.contacts where firstname = 'Zaphod'`)).toEqual([{ n: 2 }])
    expect(world.calls()).toEqual(['search', 'batch read'])
    expect(await world.ask('select count(*)::integer as n from hubspot_live.contacts')).toEqual([{ n: 151 }])
    expect(world.calls()).toEqual(['search'])
  })
})
