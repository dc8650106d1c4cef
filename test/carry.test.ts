import { describe, expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000
describe('rows that no read fills, where their column changes its type', () => {
  const HOUR = 60 * MINUTE
  const quiet = { archiveBumps: false, restoreBumps: false }
  async function deals(onDelete: 'delete' | 'mark' = 'delete') {
    const world = await startWorld('retype', { sandbox: { objects: { deals: 4 }, settings: quiet } })
    const [one = '', two = ''] = [...world.store.records('deals')].map(({ id }) => id)
    world.store.edit('deals', [one, two], { amount: '42.50', dealname: 'mine;yours', closedate: '2026-03-01T10:20:30.123Z' })
    await world.load('deals', ['dealname', 'amount', 'closedate'], onDelete)
    return { world, one, two }
  }
  const types = async (world: World) => Object.fromEntries((await world.db.query<{ property: string; column_type: string }>("select property, column_type from hubspot.properties where object = 'deals' and column_name is not null")).map(({ property, column_type }) => [property, column_type]))
  const trigger = (world: World, when: string, body: string) => world.db.query(`create function public.mine() returns trigger language plpgsql as $$ begin ${body} end $$; create trigger mine ${when} on hubspot.deals for each row execute function public.mine()`)
  const kept = async (world: World) => (await world.db.query<{ message: string }>("select message from hubspot.problems where code = 'SH221' and resolved_at is null")).map(({ message }) => message)

  test('those of records that are gone and marked, are carried over with each type that changes; what does not fit is kept raw, and is no problem', async () => {
    const { world, one } = await deals('mark')
    await using _ = world
    world.store.archive('deals', one)
    await world.pass(2 * HOUR, 30 * MINUTE)
    const before = (await world.row('deals', one))!
    expect(before['_archived_at']).not.toBeNull()
    world.store.changeProperty('deals', 'amount', { type: 'string' })
    world.store.changeProperty('deals', 'closedate', { type: 'number' })
    await world.db.query("select hubspot.retype_column('deals', 'dealname', 'text[]')")
    await world.pass(HOUR, 5 * MINUTE)
    expect(await types(world)).toMatchObject({ amount: 'text', closedate: 'numeric', dealname: 'text[]' })
    expect(await world.row('deals', one)).toEqual({ ...before, amount: '42.50', dealname: ['mine', 'yours'], closedate: null, _extra: { closedate: '2026-03-01T10:20:30.123Z' } })
    expect(await world.db.query('select code from hubspot.problems where resolved_at is null and record_id = $1', [one])).toEqual([])
    expect(await world.db.query("select from hubspot.changes where changed ? 'amount' and op = 'update'")).toEqual([])
    world.store.changeProperty('deals', 'amount', { type: 'number' })
    await world.db.query("select hubspot.retype_column('deals', 'dealname', 'text')")
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.row('deals', one)).toMatchObject({ amount: 42.5, dealname: 'mine;yours' })
  })

  test('many at once', async () => {
    await using world = await startWorld('retype', { sandbox: { objects: { contacts: 1300 }, settings: quiet } })
    await world.load('contacts', ['firstname'], 'mark')
    const ids = [...world.store.records('contacts')].map(({ id }) => id)
    world.store.archive('contacts', ids.slice(0, 1200))
    await world.pass(2 * HOUR, 30 * MINUTE)
    const count = async () => (await world.db.query<{ n: number }>('select count(*)::int as n from hubspot.contacts where firstname is not null'))[0]!.n
    const before = await count()
    await world.db.query("select hubspot.retype_column('contacts', 'firstname', 'text[]')")
    await world.pass(10 * MINUTE, MINUTE)
    expect(await count()).toBe(before)
  })

  test('those that a trigger keeps though their records are gone', async () => {
    const { world, one } = await deals()
    await using _ = world
    await trigger(world, 'before delete', 'return null;')
    world.store.archive('deals', one)
    await world.pass(2 * HOUR, 30 * MINUTE)
    world.store.changeProperty('deals', 'amount', { type: 'string' })
    await world.pass(HOUR, 5 * MINUTE)
    expect(await types(world)).toMatchObject({ amount: 'text' })
    expect(await world.row('deals', one)).toMatchObject({ amount: '42.50', _extra: null })
  })

  test.for([['raises', "raise exception 'never';"], ['leaves them out', 'return null;']] as const)('those that a trigger refuses (it %s): the old column stays with a problem, and is changed when they can be written', async ([, body]) => {
    const { world, one, two } = await deals()
    await using _ = world
    await trigger(world, 'before update', `if new.id = ${one} then ${body} end if; return new;`)
    world.store.changeProperty('deals', 'amount', { type: 'string' })
    await world.pass(HOUR, 5 * MINUTE)
    expect(await types(world)).toMatchObject({ amount: 'numeric' })
    expect(await world.row('deals', one)).toMatchObject({ amount: 42.5 })
    expect(await world.row('deals', two)).toMatchObject({ amount: 42.5 })
    expect(await kept(world)).toEqual([expect.stringContaining(`not all rows can be written: record ${one}: `)])
    // Four times an hour, not every ten seconds.
    const runs = async () => (await world.db.query<{ n: number }>("select count(*)::int as n from hubspot.runs where object = 'deals' and stream = 'build'"))[0]!.n
    const before = await runs()
    await world.pass(HOUR, MINUTE)
    expect(await runs() - before).toBeLessThanOrEqual(5)
    world.store.edit('deals', two, { amount: 'about ten' })
    await world.pass(5 * MINUTE, MINUTE)
    expect(await world.row('deals', two)).toMatchObject({ amount: null, _extra: { amount: 'about ten' } })
    await world.db.query('drop trigger mine on hubspot.deals')
    await world.pass(40 * MINUTE, 5 * MINUTE)
    expect(await types(world)).toMatchObject({ amount: 'text' })
    expect(await world.row('deals', two)).toMatchObject({ amount: 'about ten', _extra: null })
    expect(await world.differences('deals')).toEqual([])
    expect(await kept(world)).toEqual([])
  })
})
