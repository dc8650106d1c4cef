import { expect, test, vi } from 'vitest'
import { refreshClaim, refreshFail, refreshStore, tokenGet } from '../src/db/account-calls.ts'
import { openHouse } from './support/house.ts'
import { app, connected, open, stored } from './support/oauth.ts'

// Several workers and one OAuth app: who renews, who dies of it, who comes too late.

vi.setConfig({ testTimeout: 90_000 })
const MINUTE = 60_000

test('three workers renew one token once each time, whoever of them is killed while it does', async () => {
  await using house = await openHouse('workers', { objects: { contacts: 200, deals: 100, companies: 50 }, settings: { refreshRotation: 'grace', accessTokenSeconds: 2 } })
  const { db, store } = house
  store.addApp(app)
  const granted = store.installApp(app.clientId)
  await db.query('select hubspot.connect(client_id => $1, client_secret => $2, refresh_token => $3)', [app.clientId, app.clientSecret, granted.refreshToken])
  for (const [object, property] of [['contacts', 'firstname'], ['deals', 'dealname'], ['companies', 'name']]) {
    await db.query(`select hubspot.track($1, array[$2]), hubspot.schedule($1, 'poll', every => '1 second')`, [object, property])
  }
  const workers = await Promise.all([1, 2, 3].map(() => house.worker()))
  try {
    await house.until(`exists (select from hubspot_private.oauth where renewed >= 3)`)
    const [{ renewed }] = (await db.query<{ renewed: string }>('select renewed from hubspot_private.oauth')) as [{ renewed: string }]
    // One call for each token that was stored, give or take the one under way.
    const calls = store.calls({ kind: 'token' })
    expect(calls.every(({ status }) => status === 200 || status === 0)).toBe(true)
    expect(Math.abs(calls.length - Number(renewed))).toBeLessThanOrEqual(1)

    // HubSpot has given the tokens, and the worker dies before it has them.
    store.addFault({ fault: { type: 'slow head', ms: 60_000 }, match: { kind: 'token' }, times: 1 })
    await house.until(`exists (select from hubspot_private.oauth where lease_until > hubspot_private.clock() + interval '25 seconds')`)
    const [{ holder }] = (await db.query<{ holder: string }>('select holder from hubspot_private.oauth')) as [{ holder: string }]
    await workers.find(({ id }) => id === holder)!.end('SIGKILL')
    // As another worker does every 20 s.
    await db.query('select hubspot_private.sweep()')
    await house.until(`exists (select from hubspot_private.oauth where renewed > $1)`, [Number(renewed) + 1])
    store.edit('contacts', '101', { firstname: 'afterwards' })
    await house.same('contacts')
    expect(await db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
    expect(await db.query(`select ok from hubspot.health() where name in ('account', 'token')`)).toEqual([{ ok: true }, { ok: true }])
  } finally {
    await Promise.all(workers.map((worker) => worker.end('SIGKILL')))
  }
})

test('a worker that dies renewing is taken over when its lease ends, or at once when it is seen dead', async () => {
  await using world = await connected('dead')
  const { db } = world.deps
  await world.advance(40 * MINUTE)
  const { id, renewed } = (await tokenGet(db, false))!
  expect(await refreshClaim(db, { id, renewed, holder: 'dead', isEarly: false })).toMatchObject({ outcome: 'claimed' })
  expect(await refreshClaim(db, { id, renewed, holder: 'other', isEarly: false })).toMatchObject({ outcome: 'held' })
  // The world's sleep moves the clock: it waits out the lease.
  await world.ask(world.hubspot('other'))
  expect(world.renewals()).toEqual([200, 200])

  await world.advance(40 * MINUTE)
  const again = (await tokenGet(db, false))!
  await refreshClaim(db, { id, renewed: again.renewed, holder: 'gone', isEarly: false })
  await world.db.query(`insert into hubspot_private.workers (id, host, pid, is_present, started_at, beat_at) values ('gone', 'h', 1, true, hubspot_private.clock(), hubspot_private.clock())`)
  await world.db.query('select hubspot_private.sweep()')
  expect(await refreshClaim(db, { id, renewed: again.renewed, holder: 'other', isEarly: false })).toMatchObject({ outcome: 'claimed' })
})

test('what an overtaken worker brings is stored: HubSpot gave it, and may have ended the token before', async () => {
  await using world = await connected('overtaken')
  const { db } = world.deps
  await world.advance(40 * MINUTE)
  const { id, renewed } = (await tokenGet(db, false))!
  const slow = await refreshClaim(db, { id, renewed, holder: 'slow', isEarly: false })
  await world.advance(31_000)
  const quick = await refreshClaim(db, { id, renewed, holder: 'quick', isEarly: false })
  if (slow.outcome !== 'claimed' || quick.outcome !== 'claimed') throw new Error('not claimed')
  await refreshFail(db, { id, epoch: quick.epoch, kind: 'refused', code: 'SH226', message: 'refused', hint: 'again' })
  expect(await world.db.query('select is_connected from hubspot_private.account')).toEqual([{ is_connected: false }])
  const [{ now }] = (await world.db.query<{ now: string }>('select hubspot_private.clock() as now')) as [{ now: string }]
  const row = { id, epoch: slow.epoch, accessToken: 'given-late', refreshToken: 'another-one', isFormer: false, askedAt: now, expiresIn: 1800, scopes: undefined }
  expect(await refreshStore(db, row)).toBe(true)
  expect(await stored(world)).toMatchObject({ secret: 'given-late', refresh_token: 'another-one', former_refresh_token: world.granted.refreshToken })
  expect(await open(world)).toEqual([])
  // The account is checked at once, and goes on.
  expect(await world.db.query(`select count(*)::integer as jobs from graphile_worker._private_jobs where key = 'hubspot:connect'`)).toEqual([{ jobs: 1 }])
  await world.db.query('select hubspot.disconnect()')
  expect(await refreshStore(db, row)).toBe(false)
})

test('a clock that is set back takes the end with it', async () => {
  await using world = await connected('clock')
  await world.db.query(`update hubspot_private.installation set clock_shift = clock_shift - interval '2 hours'`)
  await world.db.query(`select hubspot_private.clock_set_back(hubspot_private.clock() + interval '2 hours')`)
  const due = async () => (await tokenGet(world.deps.db, false))!.due_in_ms!
  expect(await due()).toBeGreaterThan(20 * MINUTE)
  expect(await due()).toBeLessThanOrEqual(25 * MINUTE)
  // Set forward, it is renewed too early, which costs one call.
  await world.db.query(`update hubspot_private.installation set clock_shift = clock_shift + interval '5 hours'`)
  await world.ask(world.hubspot())
  expect(world.renewals()).toEqual([200, 200])
})
