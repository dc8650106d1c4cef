import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { sweep, workerBeat } from '../src/db/calls.ts'
import { runStream } from '../src/sync/step.ts'
import { dueStreams, startWorld, type World } from './support/sync.ts'

// Someone runs a verb, and leaves the transaction open. A worker never waits for that: it beats, sweeps, and reads on.

vi.setConfig({ testTimeout: 60_000 })

let world: World
let user: pg.Client
beforeAll(async () => {
  world = await startWorld('open_transactions', { sandbox: { objects: { contacts: 40, companies: 40 } } })
  await world.load('contacts', ['firstname'])
  await world.load('companies', ['name'])
  await world.db.query(`select hubspot.track_associations('contacts', 'companies'), hubspot.track_associations('companies', 'contacts')`)
  await world.pass(60_000, 10_000)
  user = new pg.Client(world.db.url)
  await user.connect()
})
afterAll(async () => {
  await user.end()
  await world[Symbol.asyncDispose]()
})

/** Each with what of companies goes on beside it: everything, or what the verb does not hold for itself. */
const VERBS: Record<string, 'all' | 'others'> = {
  [`hubspot.set_quota('burst', 90000000)`]: 'all',
  [`hubspot.set_quota('daily', null)`]: 'all',
  [`hubspot.set_quota_share(0.5)`]: 'all',
  [`hubspot.schedule('companies', 'poll', every => '20 seconds')`]: 'others',
  [`hubspot.schedule('companies', 'resync', cron => '0 3 * * sun')`]: 'all',
  [`hubspot.unschedule('companies', 'poll')`]: 'others',
  [`hubspot.refresh('companies', '{101,102}')`]: 'all',
  [`hubspot.sync('companies')`]: 'all',
  [`hubspot.sync()`]: 'all',
  [`hubspot.resync('companies')`]: 'all',
  [`hubspot.resync()`]: 'all',
  [`hubspot.verify('companies')`]: 'all',
  [`hubspot.pause('companies')`]: 'all',
  [`hubspot.pause()`]: 'all',
  [`hubspot.resume('companies')`]: 'all',
  [`hubspot.resume()`]: 'all',
  [`hubspot.track('companies', '{name,domain}')`]: 'all',
  [`hubspot.track('deals')`]: 'all',
  [`hubspot.untrack('companies')`]: 'others',
  [`hubspot.untrack('companies', drop_table => true)`]: 'others',
  [`hubspot.track_associations('companies', 'deals')`]: 'all',
  [`hubspot.untrack_associations('companies', 'contacts')`]: 'others',
  [`hubspot.rename_column('companies', 'name', 'called')`]: 'others',
  [`hubspot.retype_column('companies', 'name', 'text')`]: 'others',
  [`hubspot.configure('changes_kept', '5 days'::text)`]: 'all',
  [`hubspot.configure('settle_windows', '["10 minutes", "60 minutes", "3 hours"]')`]: 'others',
  [`hubspot.on_change('companies', task => 'mine')`]: 'all',
  [`hubspot.disable_changes('companies')`]: 'others',
  [`hubspot.enable_changes('companies')`]: 'others',
  [`hubspot.confirm_deletes(0)`]: 'all',
  [`hubspot.off_change(0)`]: 'all',
  [`hubspot.forget('companies', 99)`]: 'others',
  [`hubspot.connect('pat-na1-0123456789')`]: 'all',
  [`hubspot.connect('0123', 'secret-0123', 'refresh-0123')`]: 'all',
  [`hubspot.disconnect()`]: 'all',
  [`hubspot.grant_read(current_user)`]: 'all',
  [`hubspot.grant_write(current_user)`]: 'all',
  [`hubspot.grant_control(current_user)`]: 'all',
  [`hubspot.revoke_all(current_user)`]: 'all',
}

/** They need live tables or a copy in which all stands still, or write nothing. */
const APART = ['adopt', 'changes_after', 'changes_end', 'disable_live', 'enable_live', 'grant_live', 'health', 'progress', 'set_max_age']

const MOST_MS = 1_500

/** What takes longer than a moment waits for someone. */
async function atOnce<T>(what: string, action: Promise<T>): Promise<T> {
  const began = performance.now()
  const result = await action
  expect(performance.now() - began, what).toBeLessThan(MOST_MS)
  return result
}

async function work(objects: readonly string[]): Promise<void> {
  await world.advance(15_000)
  await world.db.query(
    `update hubspot_private.streams s set next_at = hubspot_private.clock()
     from (select * from hubspot_private.streams where object = any ($1) and next_at is not null and stream <> 'resync' for update skip locked) l
     where (s.object, s.stream, s.range) = (l.object, l.stream, l.range)`, [objects])
  await atOnce('beat', workerBeat(world.deps.db, { id: 'w', host: 'here', pid: 1, queueIds: [], held: [] }))
  await atOnce('sweep', sweep(world.deps.db))
  for (let rounds = 0; rounds < 20; rounds += 1) {
    const due = (await dueStreams(world.db)).filter(({ object, stream }) =>
      // Associations are of both objects.
      objects.includes(object) && (stream !== 'associations' || objects.includes('companies')))
    if (due.length === 0) return
    for (const key of due) await atOnce(`${key.object} ${key.stream}`, runStream(world.deps, key))
  }
  throw new Error('streams are due for ever')
}

describe('left open', () => {
  let edits = 0
  test.for(Object.entries(VERBS))('%s', async ([verb, beside]) => {
    edits += 1
    const value = `edit ${edits}`
    await user.query('begin')
    try {
      // What is refused, is refused at once.
      await user.query('savepoint refused')
      await user.query(`select ${verb}`).catch(() => user.query('rollback to refused'))
      const objects = ['contacts', '*', ...(beside === 'all' ? ['companies'] : [])]
      const ids = objects.map((object) => [object, object === '*' ? '' : [...world.store.records(object)][edits]!.id] as const).filter(([, id]) => id !== '')
      for (const [object, id] of ids) world.store.edit(object, id, object === 'contacts' ? { firstname: value } : { name: value })
      await work(objects)
      for (const [object, id] of ids) expect(await world.row(object, id), object).toMatchObject(object === 'contacts' ? { firstname: value } : { name: value })
      expect(await world.db.query('select object, code, message from hubspot.problems where resolved_at is null')).toEqual([])
    } finally {
      await user.query('rollback')
    }
    await work(['contacts', 'companies', '*'])
  })

  test('refresh is committed: the next look reads what was asked for, each id once, though many asked', async () => {
    const [one = '', two = ''] = [...world.store.records('companies')].map(({ id }) => id)
    world.store.edit('companies', [one, two], { name: 'unheard of' }, { lag: 3_600_000 })
    await user.query('begin')
    expect((await user.query('select hubspot.refresh($1, $2) as n', ['companies', [one, one]])).rows).toEqual([{ n: 1 }])
    await world.db.query('select hubspot.refresh($1, $2)', ['companies', [one, two]])
    await world.run('companies', 'fetch')
    expect(await world.row('companies', two)).toMatchObject({ name: 'unheard of' })
    world.store.edit('companies', one, { name: 'heard of' }, { lag: 3_600_000 })
    await world.advance(1_000)
    await user.query('commit')
    await world.run('companies', 'fetch')
    expect(await world.row('companies', one)).toMatchObject({ name: 'heard of' })
    expect(await world.db.query('select from hubspot_private.fetch_asks')).toEqual([])
  })

  test('are all verbs that write', async () => {
    const rows = await world.db.query<{ name: string }>(
      `select distinct p.proname as name from pg_proc p
       where p.pronamespace = 'hubspot'::regnamespace and p.provolatile = 'v' and p.prokind = 'f' order by 1`)
    const tried = new Set(Object.keys(VERBS).map((verb) => /\.(\w+)\(/.exec(verb)![1]!))
    expect(rows.map(({ name }) => name).filter((name) => !tried.has(name))).toEqual(APART)
  })
})
