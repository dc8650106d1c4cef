import { describe, expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'
import { changeOf, siteOf } from './support/webhooks.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const QUIET = { archiveBumps: false, restoreBumps: false }

const idsOf = ({ store }: World) => [...store.records('contacts')].map(({ id }) => id)
const tombstones = ({ db }: World) => db.query('select id, erased_at is not null as is_erased from hubspot_private.tombstones order by id')
async function fullRead(world: World) {
  await world.db.query("select hubspot.resync('contacts')")
  await world.drain()
}
/** All that has to pass until a contact that went without a trace is believed to have been deleted for privacy. */
async function believe(world: World) {
  await world.pass(4 * HOUR, HOUR)
  await world.advance(4 * DAY)
  await fullRead(world)
  await world.pass(2 * HOUR, HOUR)
}

describe('a privacy deletion that no webhook told of', () => {
  test.for(['delete', 'mark'] as const)('is believed when all that is read for days lacks the contact (on_delete %s)', async (onDelete) => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 5 } } })
    const [id = '', archived = ''] = idsOf(world)
    await world.load('contacts', ['firstname'], onDelete)
    world.store.edit('contacts', [id, archived], { firstname: 'Unmistakable' })
    await world.pass(MINUTE)
    world.store.gdprDelete(id)
    world.store.archive('contacts', archived)
    await fullRead(world)
    await world.db.query(`select hubspot_private.problem_report('SH209', 'contacts', 'Unmistakable', null, $1)`, [id])
    await world.pass(4 * HOUR, HOUR)
    expect(await world.db.query('select id, purged_at is not null as is_purged, archived_at is not null as was_archived from hubspot_private.tombstones order by id')).toEqual([
      { id, is_purged: true, was_archived: false }, { id: archived, is_purged: false, was_archived: true },
    ])
    expect(await tombstones(world)).toEqual([{ id, is_erased: false }, { id: archived, is_erased: false }])
    await believe(world)
    expect(await tombstones(world)).toEqual([{ id, is_erased: true }, { id: archived, is_erased: false }])
    expect(await world.db.query('select * from hubspot.problems where record_id = $1', [id])).toEqual([])
    expect(await world.db.query('select op, changed from hubspot.changes where record_id = $1', [id])).toEqual([{ op: 'delete', changed: {} }])
    expect(await world.row('contacts', id)).toBeUndefined()
    expect(await world.row('contacts', archived) === undefined).toBe(onDelete === 'delete')
  })

  test('a trigger of the user\'s that refuses, or keeps the row, has a problem, and holds up nothing', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 5 } } })
    const [id = '', other = '', archived = ''] = idsOf(world)
    await world.load('contacts', ['firstname'], 'mark')
    await world.db.query(
      `create function keep() returns trigger language plpgsql as $$ begin if old.id = ${id} then raise exception division_by_zero; end if; return case when old.id = ${other} then old end; end $$`)
    await world.db.query(`create trigger keep before delete on hubspot.contacts for each row execute function keep()`)
    world.store.gdprDelete(id)
    world.store.gdprDelete(other)
    world.store.archive('contacts', archived)
    await fullRead(world)
    await believe(world)
    expect(await world.row('contacts', other)).toBeUndefined()
    expect(await world.db.query('select code, record_id from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH213', record_id: id }])
    await world.db.query('create or replace function keep() returns trigger language plpgsql as $$ begin return null; end $$')
    await world.pass(HOUR)
    expect(await world.db.query('select message from hubspot.problems where resolved_at is null')).toMatchObject([{ message: expect.stringContaining('returns null') }])
    expect(await tombstones(world)).toEqual(expect.arrayContaining([{ id, is_erased: false }]))
    await world.db.query('drop trigger keep on hubspot.contacts')
    await world.pass(HOUR)
    expect(await world.row('contacts', id)).toBeUndefined()
    expect(await world.db.query('select * from hubspot.problems where record_id = $1', [id])).toEqual([])
  })

  test('so many at once are not', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 8 } } })
    const [archived = '', ...ids] = idsOf(world)
    await world.load('contacts', ['firstname'], 'mark')
    await world.db.query("select hubspot.configure('held_deletes', 2)")
    for (const id of ids.slice(0, 3)) world.store.gdprDelete(id)
    world.store.archive('contacts', archived)
    await world.db.query("select hubspot.configure('held_deletes_percent', 100)")
    await fullRead(world)
    await world.db.query("select hubspot.configure('held_deletes_percent', 10)")
    await believe(world)
    expect(await world.db.query('select count(*) from hubspot.contacts')).toEqual([{ count: '8' }])
    const [problem] = await world.db.query<{ code: string; hint: string }>('select code, hint from hubspot.problems where resolved_at is null')
    expect(problem).toMatchObject({ code: 'SH216' })
    await world.db.query(/select .*;/.exec(problem!.hint)![0])
    await world.pass(HOUR)
    expect(await world.db.query('select count(*) from hubspot.contacts')).toEqual([{ count: '5' }])
    expect(await world.db.query('select * from hubspot.problems where resolved_at is null')).toEqual([])
  })
})

test('a row that is only marked is marked, and another is read, though a trigger ends the session that would erase it', async () => {
  await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 5 } } })
  await using site = siteOf(world)
  const [id = '', other = '', edited = ''] = idsOf(world)
  await world.load('contacts', ['firstname'], 'mark')
  await world.db.query(`create function bad() returns trigger language plpgsql as $$ begin
    if old.id = ${id} then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end if; return old; end $$`)
  await world.db.query('create trigger bad before delete on hubspot.contacts for each row execute function bad()')
  for (const one of [id, other]) world.store.gdprDelete(one)
  world.store.edit('contacts', edited, { firstname: 'Fresh' })
  await site.send([...[id, other].map((one) => changeOf(world, Number(one), { subscriptionType: 'contact.privacyDeletion' })), changeOf(world, Number(edited))])
  await site.caughtUp()
  await world.pass(4 * MINUTE, 20_000)
  for (let tries = 0; tries < 2; tries += 1) {
    site.inbox.wake()
    await site.inbox.idle()
    await world.advance(10 * MINUTE)
  }
  expect(await world.row('contacts', id)).toMatchObject({ _archived_at: expect.anything() as unknown })
  expect(await world.row('contacts', edited)).toMatchObject({ firstname: 'Fresh', _archived_at: null })
  expect(await tombstones(world)).toEqual([{ id, is_erased: false }, { id: other, is_erased: true }])
  await world.db.query('drop trigger bad on hubspot.contacts')
  await world.advance(HOUR)
  site.inbox.wake()
  await site.inbox.idle()
  expect(await world.row('contacts', id)).toBeUndefined()
  expect(await tombstones(world)).toEqual([id, other].map((one) => ({ id: one, is_erased: true })))
})

describe('what is no privacy deletion', () => {
  test('restored while nothing can be read by id', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 4 }, settings: QUIET } })
    const [id = ''] = idsOf(world)
    await world.load('contacts', ['firstname'])
    world.store.archive('contacts', id)
    await world.pass(HOUR, 10 * MINUTE)
    expect(await world.row('contacts', id)).toBeUndefined()
    world.store.restore('contacts', id)
    const fault = world.store.addFault({ fault: '500', match: { kind: 'batch read', object: 'contacts' } })
    await world.pass(4 * HOUR, 10 * MINUTE)
    expect(await world.db.query('select missed, purged_at, erased_at from hubspot_private.tombstones')).toEqual([{ missed: 1, purged_at: null, erased_at: null }])
    world.store.removeFaults(fault)
    await world.pass(3 * HOUR, 30 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('restored, with three sweeps before it is read', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 4 }, settings: QUIET } })
    const [id = ''] = idsOf(world)
    await world.load('contacts', ['firstname'])
    await world.db.query("select hubspot.schedule('contacts', 'archive', every => '10 seconds')")
    world.store.archive('contacts', id)
    await world.pass(MINUTE, 10_000)
    world.store.restore('contacts', id)
    for (let sweep = 0; sweep < 4; sweep += 1) {
      await world.advance(11_000)
      await world.run('contacts', 'archive')
    }
    expect(await world.db.query('select missed from hubspot_private.tombstones')).toEqual([{ missed: 1 }])
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
  })

  test.for(['delete', 'mark'] as const)('restored, and refused by a trigger for hours (on_delete %s)', async (onDelete) => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 4 }, settings: QUIET } })
    const [id = ''] = idsOf(world)
    await world.load('contacts', ['firstname'], onDelete)
    world.store.archive('contacts', id)
    await world.pass(HOUR, 10 * MINUTE)
    await world.db.query(`create function no() returns trigger language plpgsql as $$ begin if new.id = ${id} then raise exception 'not today'; end if; return new; end $$`)
    await world.db.query('create trigger no before insert or update on hubspot.contacts for each row execute function no()')
    world.store.restore('contacts', id)
    await world.pass(5 * HOUR, 15 * MINUTE)
    expect(await world.db.query('select code, record_id from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH213', record_id: id }])
    expect(await world.row('contacts', id) === undefined).toBe(onDelete === 'delete')
    await world.db.query('drop trigger no on hubspot.contacts')
    await world.pass(HOUR, 15 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('archived, while the archived list shows nothing', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 8 }, settings: QUIET } })
    const ids = idsOf(world)
    await world.load('contacts', ['firstname'], 'mark')
    world.store.archive('contacts', ids.slice(0, 4))
    await world.pass(2 * HOUR, HOUR)
    const fault = world.store.addFault({
      fault: { type: 'answer', status: 200, body: '{"results":[]}' }, match: { kind: 'list', object: 'contacts', path: 'archived=true' },
    })
    // One that no list ever showed as archived.
    world.store.archive('contacts', ids[4]!)
    await fullRead(world)
    await believe(world)
    await believe(world)
    world.store.removeFaults(fault)
    await world.pass(2 * HOUR, HOUR)
    expect(await world.db.query('select count(*), count(_archived_at) as archived from hubspot.contacts')).toEqual([{ count: '8', archived: '5' }])
    expect(await world.db.query('select * from hubspot_private.tombstones where erased_at is not null or purged_at is not null')).toEqual([])
  })

  test('archived in a pause, and purged when its 90 days are over', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 4 }, settings: QUIET } })
    const [seen = '', unseen = '', later = ''] = idsOf(world)
    await world.load('contacts', ['firstname'], 'mark')
    const paused = async (ms: number) => {
      await world.db.query('select hubspot.pause()')
      await world.advance(ms)
      await world.db.query('select hubspot.resume()')
      await world.drain()
      await world.pass(2 * HOUR, HOUR)
    }
    world.store.archive('contacts', seen)
    await paused(20 * DAY)
    world.store.archive('contacts', unseen)
    await paused(95 * DAY)
    world.store.archive('contacts', later)
    await fullRead(world)
    await believe(world)
    expect(await world.db.query('select id from hubspot.contacts where _archived_at is not null order by id')).toEqual([seen, unseen, later].map((id) => ({ id })))
    expect(await world.db.query('select count(*) from hubspot_private.tombstones where purged_at is not null')).toEqual([{ count: '2' }])
    expect(await tombstones(world)).toEqual([seen, unseen, later].map((id) => ({ id, is_erased: false })))
  })

  test('archived, and kept by a trigger until its 90 days are over', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 4 }, settings: QUIET } })
    const [id = '', later = ''] = idsOf(world)
    await world.load('contacts', ['firstname'], 'mark')
    await world.db.query('create function keep() returns trigger language plpgsql as $$ begin return null; end $$')
    await world.db.query('create trigger keep before update on hubspot.contacts for each row execute function keep()')
    world.store.archive('contacts', id)
    for (let days = 0; days < 120; days += 30) {
      await world.advance(30 * DAY)
      await fullRead(world)
    }
    expect(await world.row('contacts', id)).toMatchObject({ _archived_at: null })
    await world.db.query('drop trigger keep on hubspot.contacts')
    world.store.archive('contacts', later)
    await fullRead(world)
    await world.pass(HOUR)
    await believe(world)
    await believe(world)
    expect(await world.db.query('select id, purged_at is not null as is_purged, erased_at from hubspot_private.tombstones order by id')).toEqual([
      { id, is_purged: true, erased_at: null }, { id: later, is_purged: false, erased_at: null },
    ])
    expect(await world.row('contacts', id)).toMatchObject({ _archived_at: expect.any(String) })
  })

  test('merged, and the survivor late in search', async () => {
    await using world = await startWorld('erasing', { sandbox: { objects: { contacts: 5 }, settings: { ...QUIET, mergeMakesNewId: true, mergedRead: 'missing' } } })
    const [one = '', two = '', archived = ''] = idsOf(world)
    await world.load('contacts', ['firstname'], 'mark')
    world.store.archive('contacts', archived)
    await world.db.query("select hubspot.schedule('contacts', 'archive', every => '1 minute')")
    await world.pass(5 * MINUTE, MINUTE)
    world.store.merge('contacts', one, two, { lag: 9 * MINUTE })
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one, two]])
    await world.pass(7 * MINUTE, 30_000)
    await world.pass(30 * MINUTE, MINUTE)
    expect(await world.db.query('select lost_id from hubspot.merges order by 1')).toEqual([{ lost_id: one }, { lost_id: two }])
    await believe(world)
    expect(await tombstones(world)).toEqual([one, two, archived].map((id) => ({ id, is_erased: false })))
    expect(await world.row('contacts', one)).toBeDefined()
  })
})
