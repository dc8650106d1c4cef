import { expect, test } from 'vitest'
import { tokenGet } from '../src/db/account-calls.ts'
import { startSandbox } from '../src/sandbox/index.ts'
import { app, connected, health, open, startOauth, stored } from './support/oauth.ts'
import { dueStreams } from './support/sync.ts'

// An OAuth app's tokens: renewed in time, once for all, and what comes when HubSpot does not.

const MINUTE = 60_000

test('a refresh token is a candidate until its account is seen; then the worker says what it has', async () => {
  await using world = await startOauth('candidate')
  await world.connect()
  expect(await health(world, 'token')).toMatchObject({ ok: true, message: 'a token that does not end' })
  expect(await world.check()).toBe('connected')
  expect(await health(world, 'token')).toMatchObject({ ok: true, message: expect.stringMatching(/^of an OAuth app; good until /) as string })
  expect(await world.db.query('select kind, state from hubspot_private.credentials')).toEqual([{ kind: 'oauth', state: 'active' }])
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
})

test('before it ends the token is renewed once for all workers, beside their work', async () => {
  await using world = await connected('renewed')
  await world.advance(26 * MINUTE)
  const workers = ['a', 'b', 'c', 'd', 'e'].map((name) => world.hubspot(name))
  await Promise.all([...workers, ...workers, ...workers].map((client) => world.ask(client)))
  // A worker that is told to stop stores what it asked for.
  for (const client of workers) await client.close()
  expect(world.renewals()).toEqual([200, 200])
  expect(world.store.calls({ status: 401 })).toEqual([])
  await world.advance(20 * MINUTE)
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
  expect(world.renewals()).toEqual([200, 200])
})

test('a token that ended while nobody asked is renewed once, and whoever waits for it goes on with it', async () => {
  await using world = await connected('ended')
  await world.advance(3 * 60 * MINUTE)
  const workers = ['a', 'b', 'c', 'd'].map((name) => world.hubspot(name))
  await Promise.all([...workers, ...workers].map((client) => world.ask(client)))
  expect(world.renewals()).toEqual([200, 200])
  expect(world.store.calls({ status: 401 })).toEqual([])
})

test('one that HubSpot refuses before its time is renewed once, and nothing is parked', async () => {
  await using world = await connected('early', { objects: { contacts: 30 } })
  world.store.endAccessTokens()
  const deps = world.worker('worker', { hubspot: world.hubspot() })
  await world.db.query(`select hubspot.track('contacts', '{firstname}')`)
  for (const stream of ['schema', 'build', 'archive', 'backfill']) await world.run('contacts', stream, 0, deps)
  expect(world.renewals()).toEqual([200, 200])
  expect(await world.db.query(`select count(*)::integer as parked from hubspot_private.streams where parked_at is not null or failures > 0`)).toEqual([{ parked: 0 }])
  const workers = ['a', 'b', 'c', 'd'].map((name) => world.hubspot(name))
  for (const client of workers) await world.ask(client)
  world.store.endAccessTokens()
  await Promise.all(workers.map((client) => world.ask(client)))
  expect(world.renewals()).toEqual([200, 200, 200])
})

test('a token that is refused however new it is parks what asks, after a few renewals', async () => {
  await using world = await connected('useless')
  world.store.addFault({ fault: '401', match: { kind: 'account' } })
  for (let tries = 0; tries < 6; tries += 1) await expect(world.ask(world.hubspot())).rejects.toMatchObject({ code: 'SH201' })
  expect(world.renewals().length).toBeLessThanOrEqual(5)
  world.store.removeFaults()
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
})

test('refresh tokens that turn over are stored with their access token, and the one before is kept and tried once', async () => {
  await using world = await connected('turning', { settings: { refreshRotation: 'strict' } })
  const first = await stored(world)
  expect(first.former_refresh_token).toBe(world.granted.refreshToken)
  await world.advance(40 * MINUTE)
  await world.ask(world.hubspot())
  const second = await stored(world)
  expect(second).toMatchObject({ former_refresh_token: first.refresh_token })
  expect(second.secret).not.toBe(first.secret)
  // What HubSpot gave last is not what it takes, as after a restore of one table: the one before is.
  await world.db.query(`update hubspot_private.oauth set former_refresh_token = refresh_token, refresh_token = 'na1-never-was-one'`)
  await world.advance(40 * MINUTE)
  world.store.resetCalls()
  await world.ask(world.hubspot())
  expect(world.renewals()).toEqual([400, 200])
  expect(await stored(world)).toMatchObject({ former_refresh_token: second.refresh_token, failures: 0 })
  expect(await open(world)).toEqual([])
})

test('an answer that is lost on its way does no harm where the token before is still good, and parks with what to do where not', async () => {
  await using world = await connected('lost', { objects: { contacts: 5 }, settings: { refreshRotation: 'grace' } })
  await world.load('contacts', ['firstname'])
  const lose = () => world.store.addFault({ fault: 'reset', match: { kind: 'token' }, times: 1 })
  lose()
  await world.advance(40 * MINUTE)
  await expect(world.ask(world.hubspot())).rejects.toMatchObject({ name: 'Transient' })
  await world.advance(MINUTE)
  await world.ask(world.hubspot())
  expect(await open(world)).toEqual([])

  world.store.configure({ refreshRotation: 'strict' })
  lose()
  await world.advance(26 * MINUTE)
  await world.askDue()
  await world.advance(MINUTE)
  // Not ended yet: the work goes on, and it is told what is coming.
  expect(await world.askDue()).toBe(world.sandbox.portalId)
  expect(await open(world)).toEqual([{ property: 'token', code: 'SH226' }])
  expect(await world.check()).toBe('connected')
  expect(await open(world)).toEqual([{ property: 'token', code: 'SH226' }])
  expect(await health(world, 'token')).toMatchObject({ ok: false, hint: expect.stringContaining('pg-hubspot connect --oauth') as string })

  await world.advance(10 * MINUTE)
  world.store.resetCalls()
  await expect(world.ask(world.hubspot())).rejects.toMatchObject({ code: 'SH226', name: 'Refused' })
  expect(await world.db.query('select is_connected from hubspot_private.account')).toEqual([{ is_connected: false }])
  await world.drain()
  expect(world.store.calls()).toEqual([])
  expect(await health(world, 'account')).toMatchObject({ ok: false, message: expect.stringMatching(/HubSpot refuses the refresh token/) as string, hint: expect.stringContaining('--oauth') as string })

  // In a quarter of an hour it is tried again, and by resume() at once.
  await world.db.query('select hubspot.resume()')
  expect(await world.check()).toBe('refused')
  expect(world.renewals()).toEqual([400])
  await world.connect({ refreshToken: world.store.installApp(app.clientId).refreshToken })
  expect(await world.check()).toBe('connected')
  expect(await open(world)).toEqual([])
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
})

test('an uninstalled app parks the account; installed and connected again, it goes on where it stood', async () => {
  await using world = await connected('uninstalled', { objects: { contacts: 40 } })
  const deps = () => world.worker('worker', { hubspot: world.hubspot() })
  await world.load('contacts', ['firstname'])
  world.store.uninstallApp(app.clientId)
  await world.advance(MINUTE)
  expect(await world.run('contacts', 'poll', 0, deps())).toBe('failed')
  expect(await open(world)).toEqual([{ property: 'token', code: 'SH226' }])
  world.store.edit('contacts', [...world.store.records('contacts')].map(({ id }) => id).slice(0, 3), { firstname: 'meanwhile' })
  await world.connect({ refreshToken: world.store.installApp(app.clientId).refreshToken })
  expect(await world.check()).toBe('connected')
  await world.pass(2 * MINUTE, MINUTE / 4)
  expect(await world.differences('contacts')).toEqual([])
  expect(await world.db.query(`select code from hubspot.problems where resolved_at is null`)).toEqual([])
})

test('HubSpot that fails for a while before the end holds up nothing', async () => {
  await using world = await connected('failing')
  world.store.addFault({ fault: '500', match: { kind: 'token' }, times: 2 })
  await world.advance(26 * MINUTE)
  for (let tries = 0; tries < 3; tries += 1) {
    expect(await world.askDue()).toBe(world.sandbox.portalId)
    await world.advance(10_000)
  }
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
  expect(world.renewals()).toEqual([200, 500, 500, 200])
  expect(await world.db.query('select code from hubspot.problems')).toEqual([])
})

test('a short life is renewed in its last fifth, one that is not told for half an hour', async () => {
  await using world = await startOauth('short', { sandbox: { settings: { accessTokenSeconds: 10 } } })
  await world.connect()
  expect(await world.check()).toBe('connected')
  for (let seconds = 0; seconds < 60; seconds += 3) {
    await world.advance(3_000)
    const client = world.hubspot()
    await world.ask(client)
    await client.close()
  }
  expect(world.store.calls({ status: 401 })).toEqual([])
  expect(world.renewals().length).toBeLessThanOrEqual(9)
  world.store.addFault({ fault: { type: 'answer', status: 200, body: '{"access_token":"no-end-told","token_type":"bearer"}', headers: { 'Content-Type': 'application/json' } }, match: { kind: 'token' }, times: 1 })
  world.store.addToken({ token: 'no-end-told' })
  await world.advance(MINUTE)
  await world.ask(world.hubspot())
  expect((await tokenGet(world.deps.db, false))!.due_in_ms).toBeGreaterThan(20 * MINUTE)
})

test('a wrong secret, a wrong refresh token and another portal never replace what is in use', async () => {
  await using world = await connected('wrong')
  await using other = await startSandbox({ portalId: 77 })
  const before = await stored(world)
  await world.connect({ secret: 'another-secret' })
  expect(await world.check()).toBe('refused')
  expect(await open(world)).toEqual([{ property: 'new token', code: 'SH227' }])
  await world.connect({ refreshToken: 'na1-no-such-token' })
  expect(await world.check()).toBe('refused')
  expect(await open(world)).toEqual([{ property: 'new token', code: 'SH226' }])
  expect(await health(world, 'account')).toMatchObject({ ok: false, message: expect.stringContaining('the new token was not taken') as string })
  other.store.addApp(app)
  await world.connect({ refreshToken: other.store.installApp(app.clientId).refreshToken })
  expect(await world.check({ baseUrl: other.url })).toBe('portal_differs')
  expect(await stored(world)).toEqual(before)
  // From one kind to the other and back, while it runs.
  await world.db.query('select hubspot.connect($1)', [world.sandbox.token])
  expect(await world.check()).toBe('connected')
  expect(await world.db.query('select count(*)::integer as rows from hubspot_private.oauth')).toEqual([{ rows: 0 }])
  expect(await health(world, 'token')).toMatchObject({ ok: true, message: 'a token that does not end' })
})

test('a token that is changed while a call is under way costs that call a second try, and nothing else', async () => {
  await using world = await startOauth('changed')
  const client = world.hubspot()
  await world.ask(client)
  world.store.addToken({ token: 'pat-na1-the-second' })
  world.store.revokeToken(world.sandbox.token)
  await world.db.query(`select hubspot.connect('pat-na1-the-second')`)
  expect(await world.check()).toBe('connected')
  // The client remembers the first one still.
  expect(await world.ask(client)).toBe(world.sandbox.portalId)
  expect(world.store.calls({ status: 401 }).map(({ token }) => token)).toEqual([world.sandbox.token])
  world.store.revokeToken('pat-na1-the-second')
  await expect(world.ask(client)).rejects.toMatchObject({ code: 'SH201', name: 'Refused' })
})

test('a candidate whose check fails for a while stays, and is renewed no more than needed', async () => {
  await using world = await startOauth('patient')
  await world.connect()
  world.store.addFault({ fault: '502', match: { kind: 'token' }, times: 1 })
  expect(await world.check()).toBe('failed')
  expect(await health(world, 'account')).toMatchObject({ ok: false, message: expect.stringContaining('502') as string })
  await world.advance(MINUTE)
  world.store.addFault({ fault: '502', match: { kind: 'account' }, times: 1 })
  expect(await world.check()).toBe('failed')
  expect(await world.check()).toBe('connected')
  expect(world.renewals()).toEqual([502, 200])
})

test('scopes that are missing are named for each object, and what has its own goes on; authorised again with more, all of it does', async () => {
  await using world = await startOauth('scopes', { sandbox: { objects: { contacts: 8, deals: 6 } } })
  const scopes = ['crm.objects.contacts.read', 'crm.schemas.contacts.read', 'crm.objects.owners.read', 'crm.schemas.custom.read']
  await world.connect({ refreshToken: world.store.installApp(app.clientId, { scopes }).refreshToken })
  expect(await world.check()).toBe('connected')
  expect(await world.db.query('select scopes from hubspot_private.oauth')).toEqual([{ scopes }])
  await world.db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.track('deals', '{dealname}')`)
  const work = async () => {
    const deps = world.worker('worker', { hubspot: world.hubspot() })
    for (let rounds = 0; rounds < 8; rounds += 1) for (const { object, stream, range } of await dueStreams(world.db)) await world.run(object, stream, range, deps)
  }
  await work()
  expect(await world.db.query(`select object, state from hubspot.status order by 1`)).toEqual([{ object: 'contacts', state: 'live' }, { object: 'deals', state: 'parked' }])
  expect(await health(world, 'scopes')).toEqual({
    ok: false, message: expect.stringMatching(/^missing: deals \(Add one of .*crm\.objects\.deals\.read.*\)$/) as string,
    hint: 'Add the scopes to the app in HubSpot and authorise it again: npx pg-hubspot connect --oauth. Then: select hubspot.resume();',
  })
  expect(await health(world, 'account')).toMatchObject({ ok: true })
  await world.connect()
  expect(await world.check()).toBe('connected')
  await world.db.query('select hubspot.resume()')
  await work()
  expect(await world.differences('deals')).toEqual([])
  expect(await health(world, 'scopes')).toEqual({ ok: true, message: 'none is missing', hint: null })
})

test('with HUBSPOT_WRITES=off nothing is renewed, and it is said once the token has ended', async () => {
  await using world = await connected('off')
  const off = { mayWrite: false }
  await world.advance(26 * MINUTE)
  expect(await world.ask(world.hubspot('off', off))).toBe(world.sandbox.portalId)
  await world.advance(10 * MINUTE)
  await expect(world.ask(world.hubspot('off', off))).rejects.toMatchObject({ code: 'SH013', name: 'Transient' })
  expect(await world.check(off)).toBe('failed')
  expect(await open(world)).toEqual([{ property: 'token', code: 'SH013' }])
  expect(world.renewals()).toEqual([200])
  await world.db.query(`select hubspot_private.worker_beat('off', 'h', 1, '{}', may_write => false)`)
  expect(await health(world, 'token')).toMatchObject({ ok: false, message: expect.stringContaining('no worker may renew it') as string })
  expect(await health(world, 'writes')).toMatchObject({ ok: true, message: 'off: every worker runs with HUBSPOT_WRITES=off' })
  expect(await world.db.query('select may_write from hubspot.workers')).toEqual([{ may_write: false }])
  // Another worker may, and this one goes on with what it stored.
  await world.ask(world.hubspot('on'))
  expect(await open(world)).toEqual([])
  expect(await world.ask(world.hubspot('off', off))).toBe(world.sandbox.portalId)
})

test.for([
  [['', 'client-secret-1', 'refresh-token-1'], 'that is no client id'],
  [['app', 'short', 'refresh-token-1'], 'that is no client secret'],
  [['app', 'client-secret-1', 'two words'], 'that is no refresh token'],
  [['app', 'client-secret-1', null], 'that is no refresh token'],
] as const)('connect refuses %j, and repeats nothing of it', async ([values, message]) => {
  await using world = await startOauth('refused')
  const error = await world.db.query('select hubspot.connect($1, $2, $3)', [...values]).catch((caught: unknown) => caught as Error & { code: string; hint: string })
  expect(error).toMatchObject({ code: 'SH104', message, hint: expect.stringMatching(/HubSpot/) as string })
})
