import { describe, expect, test } from 'vitest'
import { allFinal, followFeed } from './support/feed.ts'
import { hold, pagesOf, startWorld, type World } from './support/sync.ts'

// What the feed has of a column while it is filled, or another is filled that takes its place.

const MINUTE = 60_000
const idsOf = (world: World, object = 'deals') => [...world.store.records(object)].map(({ id }) => id)
const feed = ({ db }: World) => db.query<{ record_id: string; op: string; changed: Record<string, unknown> }>('select record_id, op, changed from hubspot.changes order by xid, id')
/** What a subscription to one column would get. */
async function told(world: World, column: string): Promise<unknown[]> {
  await allFinal(world.db)
  return (await feed(world)).filter(({ op, changed }) => op === 'update' && column in changed).map(({ record_id, changed }) => [record_id, changed[column]])
}

async function refresh(world: World, object: string, ids: readonly (string | undefined)[]): Promise<void> {
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, $2::bigint[])', [object, ids])
  await world.run(object, 'fetch')
}

/** The fill, with its first page written. */
async function begunFill(world: World, object: string) {
  for (let rounds = 0; rounds < 30; rounds += 1) {
    const due = await world.db.query<{ object: string; stream: string; range: number }>('select object, stream, range from hubspot_private.streams_due()')
    if (due.some(({ stream }) => stream === 'fill')) break
    for (const one of due) await world.run(one.object, one.stream, one.range)
    if (due.length === 0) await world.advance(5_000)
  }
  const fill = (await hold(world, object, 'fill'))!
  await fill.commit(await fill.ask())
  return { finish: async () => { while ((await fill.commit(await fill.ask())).outcome === 'more'); } }
}

describe('a column whose type changes', () => {
  test('is in the feed under its name, with every edit, before and while the new one is filled, and after; the swap is not', async () => {
    await using world = await startWorld('retyped', { sandbox: { objects: { deals: 20 } }, client: pagesOf(5) })
    const ids = idsOf(world)
    for (const id of ids) world.store.edit('deals', id, { amount: '1' })
    await world.load('deals', ['dealname', 'amount'])
    const copy = followFeed(world.db, ['deals'])
    expect(await copy.differences()).toEqual([])
    await world.db.query("select hubspot.retype_column('deals', 'amount', 'text')")
    const fill = await begunFill(world, 'deals')
    const [first, last] = [ids[0]!, ids.at(-1)!]
    // Read by the fill, and not yet.
    world.store.edit('deals', first, { amount: '11' })
    world.store.edit('deals', last, { amount: '12' })
    const [made] = world.store.create('deals', [{ properties: { amount: '7' } }])
    world.store.archive('deals', ids[5]!)
    await refresh(world, 'deals', [first, last, made!.id, ids[5]])
    await fill.finish()
    await world.pass(MINUTE, 10_000)
    expect(await world.db.query("select column_type from hubspot.properties where object = 'deals' and property = 'amount'")).toEqual([{ column_type: 'text' }])
    world.store.edit('deals', first, { amount: '13' })
    await refresh(world, 'deals', [first])
    expect(await told(world, 'amount')).toEqual([[first, [1, 11]], [last, [1, 12]], [first, ['11', '13']]])
    const whole = await feed(world)
    expect(whole.find(({ op }) => op === 'insert')).toEqual({ record_id: made!.id, op: 'insert', changed: { amount: [null, 7] } })
    expect(whole.find(({ op }) => op === 'delete')).toMatchObject({ record_id: ids[5], changed: { amount: 1 } })
    expect(JSON.stringify(whole)).not.toContain('_next')
    // A copy that is kept by the feed comes through it, and would show what is not told.
    expect(await copy.differences()).toEqual([])
    await world.db.query("select hubspot.retype_column('deals', 'amount', 'numeric')")
    const back = await begunFill(world, 'deals')
    world.store.edit('deals', first, { amount: '14' })
    await refresh(world, 'deals', [first])
    await back.finish()
    await world.pass(MINUTE, 10_000)
    await world.db.query("delete from hubspot.changes where changed #>> '{amount,1}' = '14'")
    expect(await copy.differences()).toEqual([`deals ${first}.amount is 14, by the feed "13"`])
  })

  test('is in the feed while HubSpot refuses the list that would fill the new one', async () => {
    await using world = await startWorld('refused', { sandbox: { objects: { deals: 20 } } })
    const [id = ''] = idsOf(world)
    world.store.edit('deals', id, { amount: '1' })
    await world.load('deals', ['dealname', 'amount'])
    world.store.changeProperty('deals', 'amount', { type: 'string' })
    world.store.addFault({ fault: '500', match: { kind: 'list', object: 'deals' } })
    await world.pass(20 * MINUTE, MINUTE)
    for (const amount of ['2', '', '3']) {
      world.store.edit('deals', id, { amount })
      await world.pass(5 * MINUTE, MINUTE)
    }
    world.store.removeFaults()
    await world.pass(120 * MINUTE, MINUTE)
    expect(await world.row('deals', id)).toMatchObject({ amount: '3' })
    expect(await told(world, 'amount')).toEqual([[id, [1, 2]], [id, [2, null]], [id, [null, 3]]])
  })

  test('is in the feed also where it is the fill that finds it changed, the record\'s date being as it was', async () => {
    await using world = await startWorld('silent', { sandbox: { objects: { deals: 20 } }, client: pagesOf(5) })
    const ids = idsOf(world)
    for (const id of ids) world.store.edit('deals', id, { amount: '1' })
    await world.load('deals', ['dealname', 'amount'])
    // As if HubSpot had counted it anew: the row is of the record's date, and has another value.
    await world.db.query(`select hubspot.retype_column('deals', 'amount', 'text'), hubspot.track('deals', '{dealname,amount,dealstage}');
      update hubspot_private.streams set writer = pg_current_xact_id() where object = 'deals' and stream = 'build';
      update hubspot.deals set amount = 0 where id = ${ids[3]}`)
    await world.pass(2 * MINUTE, 10_000)
    expect(await world.db.query("select column_type from hubspot.properties where object = 'deals' and property = 'amount'")).toEqual([{ column_type: 'text' }])
    expect(await feed(world)).toEqual([{ record_id: ids[3], op: 'update', changed: { amount: [0, 1] } }])
  })
})

test('a column that is new has no first values in the feed, whoever reads them, and every change of them', async () => {
  await using world = await startWorld('filling', { sandbox: { objects: { contacts: 20 } }, client: pagesOf(5) })
  const ids = idsOf(world, 'contacts')
  for (const id of ids) world.store.edit('contacts', id, { lastname: 'Old' })
  await world.load('contacts', ['firstname'])
  await world.db.query("select hubspot.track('contacts', '{firstname,lastname}')")
  const fill = await begunFill(world, 'contacts')
  const [filled, emptied, read] = [ids[0]!, ids[1]!, ids.at(-1)!]
  world.store.edit('contacts', filled, { lastname: 'New' })
  world.store.edit('contacts', emptied, { lastname: '' })
  world.store.edit('contacts', read, { firstname: 'Ada', lastname: 'First' })
  await refresh(world, 'contacts', [filled, emptied, read])
  world.store.edit('contacts', read, { lastname: 'Second' })
  await refresh(world, 'contacts', [read])
  await fill.finish()
  await world.drain()
  expect(await told(world, 'lastname')).toEqual([[filled, ['Old', 'New']], [emptied, ['Old', null]], [read, ['First', 'Second']]])
  expect(await told(world, 'firstname')).toEqual([[read, [expect.anything(), 'Ada']]])
})

test.each(['refused', 'left out'] as const)('a column that was %s for a while tells what was changed meanwhile, once it is filled', async (how) => {
  await using world = await startWorld('meanwhile', { sandbox: { objects: { deals: 6 } } })
  const { store, db } = world
  const [edited = '', emptied = '', filled = ''] = idsOf(world)
  store.edit('deals', edited, { amount: '1' })
  store.edit('deals', emptied, { amount: '2' })
  store.edit('deals', filled, { amount: null })
  await world.load('deals', ['dealname', 'amount'])
  const hide = async (isHidden: boolean) => how === 'refused'
    ? store.changeProperty('deals', 'amount', { unreadable: isHidden ? 'named' : null })
    : void (await db.query('select hubspot.track($1, $2)', ['deals', isHidden ? ['dealname'] : ['dealname', 'amount']]))
  await hide(true)
  await world.advance(1_000)
  store.edit('deals', edited, { amount: '11', dealname: 'seen' })
  store.edit('deals', emptied, { amount: null })
  store.edit('deals', filled, { amount: '3' })
  await world.pass(20 * MINUTE, MINUTE)
  expect(await told(world, 'amount')).toEqual([])
  await hide(false)
  await world.pass(60 * MINUTE, MINUTE)
  expect(await world.differences('deals')).toEqual([])
  const all = await told(world, 'amount')
  expect(all).toEqual(expect.arrayContaining([[edited, [1, 11]], [emptied, [2, null]]]))
  expect(all).toHaveLength(2)
})
