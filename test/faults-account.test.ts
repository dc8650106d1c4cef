import { expect, test, vi } from 'vitest'
import { checkCredentials } from '../src/sync/credentials.ts'
import { startSandbox } from '../src/sandbox/index.ts'
import { openHouse } from './support/house.ts'
import { startWorld, type World } from './support/sync.ts'

// What HubSpot does to the token.

vi.setConfig({ testTimeout: 90_000 })

const check = (world: World) => checkCredentials({ ...world.deps, env: { baseUrl: world.sandbox.url } })
const account = async (world: Pick<World, 'db'>) =>
  (await world.db.query<{ ok: boolean; message: string; hint: string | null }>(`select ok, message, hint from hubspot.health() where name = 'account'`))[0]!
const open = (world: Pick<World, 'db'>) =>
  world.db.query('select object, property, code from hubspot.problems where resolved_at is null order by id')

test.for([['423', 'SH205'], ['477', 'SH205'], ['500', 'SH207'], ['torn', 'SH208'], ['reset', 'SH206'], ['429', 'SH301'], ['403', 'SH202']] as const)(
  'a check that meets %s shows it, and is forgotten with the next that passes',
  async ([fault, code]) => {
    await using world = await startWorld('check')
    // As often as a throttled call is sent again.
    world.store.addFault({ match: { kind: 'account' }, fault, times: fault === '429' ? 8 : 1 })
    expect(['failed', 'refused']).toContain(await check(world))
    expect(await open(world)).toEqual([{ object: null, property: 'token', code }])
    expect(await account(world)).toMatchObject({ ok: false, message: expect.stringMatching(/^connected to portal .*; but /) as string, hint: expect.any(String) as string })
    expect(await check(world)).toBe('connected')
    expect(await open(world)).toEqual([])
    expect(await account(world)).toMatchObject({ ok: true, hint: null })
  },
)

test('a new token that is turned down leaves the one in use, and health says so until another is given', async () => {
  await using other = await startSandbox({ portalId: 77 })
  await using world = await startWorld('turned')
  await world.load('contacts', ['firstname'])
  await world.db.query('select hubspot.connect($1)', ['pat-na1-00000000-0000'])
  expect(await check(world)).toBe('refused')
  expect(await account(world)).toMatchObject({ ok: false, message: expect.stringMatching(/connected to portal .*the new token was not taken: .*401/) as string, hint: expect.stringContaining('connect') as string })
  await world.db.query('select hubspot.connect($1)', [other.token])
  expect(await account(world)).toMatchObject({ ok: true })
  expect(await checkCredentials({ ...world.deps, env: { baseUrl: other.url } })).toBe('portal_differs')
  expect(await account(world)).toMatchObject({ ok: false, message: expect.stringContaining('portal 77') as string })
  expect(await world.db.query('select is_connected from hubspot_private.account')).toEqual([{ is_connected: true }])
  await world.db.query('select hubspot.connect($1)', [world.sandbox.token])
  expect(await check(world)).toBe('connected')
  expect(await account(world)).toMatchObject({ ok: true })
})

test('a token revoked in the middle of the work shows in health, and one put in its place ends it', async () => {
  await using house = await openHouse('revoked', { objects: { contacts: 200 } })
  const { db, store, sandbox } = house
  await db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.schedule('contacts', 'poll', every => '1 second')`)
  await using worker = await house.worker()
  await house.loaded('contacts')
  store.revokeToken(sandbox.token)
  await house.until(`exists (select from hubspot.problems where code = 'SH201' and object is null and resolved_at is null)`)
  expect(await account(house)).toMatchObject({ ok: false, message: expect.stringContaining('401') as string, hint: expect.stringContaining('connect') as string })
  await house.until(`exists (select from hubspot.status where state = 'parked')`)
  store.edit('contacts', [...store.records('contacts')].map(({ id }) => id).slice(0, 5), { firstname: 'meanwhile' })
  store.addToken({ token: 'pat-na1-second' })
  await db.query(`select hubspot.connect('pat-na1-second')`)
  await house.same('contacts')
  await house.until(`not exists (select from hubspot.problems where resolved_at is null)`)
  expect(await account(house)).toMatchObject({ ok: true })
  // The same token taken back by whoever revoked it: nobody has to say so here.
  store.revokeToken('pat-na1-second')
  await house.until(`exists (select from hubspot.problems where code = 'SH201' and resolved_at is null)`)
  store.addToken({ token: 'pat-na1-second' })
  await house.until(`not exists (select from hubspot.problems where resolved_at is null)`)
  expect(worker.hasEnded()).toBe(false)
})

test("after disconnect() a worker goes on with its environment's token, once it is checked; one of another portal stops it", async () => {
  await using house = await openHouse('environment', { objects: { contacts: 50 } })
  const { db, store, sandbox } = house
  await db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.schedule('contacts', 'poll', every => '1 second')`)
  await using worker = await house.worker({ env: { HUBSPOT_ACCESS_TOKEN: sandbox.token } })
  await house.loaded('contacts')
  expect(await db.query(`select ok from hubspot.health() where name = 'secrets'`)).toEqual([{ ok: false }])
  await db.query('select hubspot.disconnect()')
  store.edit('contacts', '101', { firstname: 'after' })
  await house.same('contacts')
  expect(await db.query(`select name, ok from hubspot.health() where name in ('account', 'secrets')`)).toEqual([{ name: 'account', ok: true }, { name: 'secrets', ok: true }])
  expect(await worker.end('SIGTERM')).toBe(0)
})

test('a refused token is over with the next answer, whoever gets it: an object that met it may have been given up', async () => {
  await using world = await startWorld('token_met', { sandbox: { objects: { contacts: 3, deals: 3 } } })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  const open = () => world.db.query("select code from hubspot.problems where object is null and resolved_at is null")
  world.store.addFault({ fault: '401', times: 1 })
  await world.db.query(`select hubspot.sync('contacts')`)
  expect(await world.run('contacts', 'poll')).toBe('failed')
  expect(await open()).toEqual([{ code: 'SH201' }])
  await world.db.query(`select hubspot.untrack('contacts'), hubspot.sync('deals')`)
  expect(await world.run('deals', 'poll')).toBe('done')
  expect(await open()).toEqual([])
})
