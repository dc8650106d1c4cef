import { describe, expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { BODY_LIMIT } from '../src/web/webhooks.ts'
import { edgeDifferences } from './support/compare.ts'
import { startWorld, type World, type WorldOptions } from './support/sync.ts'
import { changeOf, idsOf, older, problems, queue, SECRET, siteOf, v3 } from './support/webhooks.ts'

async function worldOf(): Promise<World> {
  const world = await startWorld('webhooks', { sandbox: { objects: { contacts: 5 } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  world.store.resetCalls()
  return world
}

/** Three objects, and associations between them both ways, one way, and of an object that webhooks name by number alone. */
async function wideWorld(settings: NonNullable<WorldOptions['sandbox']>['settings']): Promise<World> {
  const world = await startWorld('webhooks', { sandbox: { objects: { contacts: 20, deals: 10, vehicle: 5 }, ...(settings && { settings }) } })
  await world.load('contacts', ['firstname', 'lastname', 'email'])
  await world.load('deals', ['dealname'])
  await world.load('vehicle', ['make'])
  await world.db.query("select hubspot.track_associations('deals', 'contacts'), hubspot.track_associations('contacts', 'deals'), hubspot.track_associations('vehicle', 'deals')")
  await world.drain()
  await world.advance(1_000)
  world.store.resetCalls()
  return world
}

const inbox = (world: World) => world.db.query('select type, object_type, ids, occurred_at, applied_at is not null as is_applied from hubspot_private.inbox order by ids')

describe('what HubSpot says changed is read, and nothing is polled', () => {
  test.for(['classic', 'generic'] as const)('%s events, out of order and doubled', async (format) => {
    await using world = await wideWorld({ webhookDuplicates: 0.3, webhookBatch: 3 })
    await using site = siteOf(world)
    await site.listen({ format })
    const { store } = world
    const [one, two, three, four, five, six] = idsOf(world) as [string, string, string, string, string, string]
    const [deal, other] = idsOf(world, 'deals') as [string, string]
    const [car] = idsOf(world, 'vehicle') as [string]
    store.edit('contacts', one, { firstname: 'Ada' })
    store.edit('contacts', one, { firstname: 'Ada', lastname: 'Byron' })
    store.edit('vehicle', car, { make: 'Tatra' })
    store.archive('contacts', two)
    store.archive('contacts', three)
    store.restore('contacts', three)
    store.gdprDelete(four)
    store.merge('contacts', five, six)
    store.create('contacts', [{ properties: { firstname: 'Grace' } }])
    store.associate('deals', deal, 'contacts', one)
    store.associate('contacts', three, 'deals', other)
    store.associate('deals', other, 'vehicle', car)
    await site.caughtUp()
    for (const object of ['contacts', 'deals', 'vehicle']) expect(await world.differences(object)).toEqual([])
    for (const [from, to] of [['deals', 'contacts'], ['contacts', 'deals'], ['vehicle', 'deals']] as const) {
      expect(await edgeDifferences(world.db, world.sandbox, from, to)).toEqual([])
    }
    expect(await world.db.query('select lost_id from hubspot.merges order by 1')).toEqual([{ lost_id: five }, { lost_id: six }])
    store.dissociate('deals', deal, 'contacts', one)
    await site.caughtUp()
    expect(await edgeDifferences(world.db, world.sandbox, 'deals', 'contacts')).toEqual([])
    expect(store.calls({ kind: 'search' })).toEqual([])
    expect(await problems(world)).toEqual([])
    expect(store.webhooks()).toMatchObject({ lost: 0, waiting: 0 })
    expect(new Set(store.deliveries().map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('a value that moves no date is seen, which no poll would find', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    await site.listen()
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'recalculated' }, { touch: false })
    await site.caughtUp()
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'recalculated' })
  })

  test('what was read long after the event happened is not read again', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id = '', second = ''] = idsOf(world)
    const before = world.store.now() - 120_000
    world.store.edit('contacts', [id, second], { firstname: 'new' })
    await world.db.query("select hubspot.refresh('contacts', $1)", [[id, second]])
    await world.drain()
    world.store.resetCalls()
    await site.send([changeOf(world, Number(id), { occurredAt: before })])
    await site.caughtUp()
    expect(world.store.calls()).toEqual([])
    await site.send([changeOf(world, Number(id))])
    await site.caughtUp()
    expect(world.store.calls().map(({ kind, ids }) => [kind, ids])).toContainEqual(['batch read', [id]])
  })

  test('a privacy deletion erases once HubSpot does not show the record, and is asked for until then', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id = ''] = idsOf(world)
    await site.send([changeOf(world, Number(id), { subscriptionType: 'object.privacyDeletion', objectTypeId: '0-1' })])
    await site.caughtUp()
    expect(await world.row('contacts', id)).toBeDefined()
    world.store.gdprDelete(id)
    await world.advance(61_000)
    await world.db.query('select hubspot_private.sweep()')
    await site.caughtUp()
    expect(await world.row('contacts', id)).toBeUndefined()
    expect(await world.db.query('select object, id, erased_at is not null as is_erased from hubspot_private.tombstones where id = $1', [id])).toEqual([{ object: 'contacts', id, is_erased: true }])
    expect(await world.db.query('select * from hubspot_private.erasures')).toEqual([])
  })
})

describe('a request is checked before anything of it counts', () => {
  test('a forged, stale or missing signature is 401, and a problem says what to look at until a right one comes', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const events = [changeOf(world, Number(idsOf(world)[0]))]
    const now = Date.now()
    for (const sign of [
      () => ({}),
      (body: string) => v3(body, { secret: 'another' }),
      (body: string) => v3(`${body} `),
      (body: string) => v3(body, { url: 'https://elsewhere.example/webhooks/hubspot' }),
      (body: string) => ({ ...older('v1', body), ...v3(body, { secret: 'another' }) }),
      (body: string) => older('v2', body, { url: 'https://elsewhere.example/' }),
    ]) expect((await site.send(events, { sign })).status).toBe(401)
    expect(await inbox(world)).toEqual([])
    await expect.poll(() => problems(world)).toMatchObject([{ code: 'SH229', is_open: true, hint: expect.stringContaining('HUBSPOT_WEBHOOK_URL') }])
    expect((await site.send(events, { sign: (body) => v3(body, { at: now - 301_000 }) })).status).toBe(401)
    await expect.poll(() => problems(world)).toMatchObject([{ code: 'SH229', is_open: true, hint: expect.stringContaining('clock') }])
    expect(world.lines.join('')).not.toContain(SECRET)
    expect((await site.send(events)).status).toBe(200)
    await expect.poll(() => problems(world)).toMatchObject([{ is_open: false }])
  })

  test('versions 1 and 2 do where only they are sent', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [one, two] = idsOf(world).map(Number)
    expect((await site.send([changeOf(world, one)], { sign: (body) => older('v1', body) })).status).toBe(200)
    expect((await site.send([changeOf(world, two)], { sign: (body) => older('v2', body) })).status).toBe(200)
    expect(await inbox(world)).toHaveLength(2)
  })

  test('behind a proxy the public URL is what is signed; forwarding headers say nothing', async () => {
    await using world = await worldOf()
    const publicUrl = 'https://hooks.example.com/crm/hubspot'
    await using site = siteOf(world, { publicUrl })
    await site.listen()
    const { target } = world.store.webhooks()
    world.store.setWebhooks({ url: publicUrl, via: target!.url, clientSecret: SECRET })
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'proxied' })
    await site.caughtUp()
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'proxied' })

    await using unset = siteOf(world)
    const forwarded = { 'x-forwarded-host': 'hooks.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-prefix': '/crm' }
    expect((await unset.send([], { sign: (body) => ({ ...v3(body, { url: publicUrl }), ...forwarded }) })).status).toBe(401)
  })

  test('what is no list of events in JSON is 400', async () => {
    await using world = await startWorld('webhooks')
    await using site = siteOf(world)
    for (const body of ['', 'null', '{}', '{"results": []}', '[', 'not json', '[{"a": tru}]', '"text"', '\0', '['.repeat(50_000)]) {
      expect((await site.send(undefined, { body })).status, body.slice(0, 20)).toBe(400)
    }
  })

  test('what is too long is 413, by its head or in truth, and no other method or path is served', async () => {
    await using world = await startWorld('webhooks')
    await using site = siteOf(world)
    expect((await site.send(undefined, { body: ' '.repeat(BODY_LIMIT + 1) })).status).toBe(413)
    const announced = new Request('http://127.0.0.1/webhooks/hubspot', {
      method: 'POST', body: '[]', headers: { ...v3('[]'), 'content-length': String(BODY_LIMIT + 1) },
    })
    expect((await site.handle(announced, '/webhooks/hubspot')).status).toBe(413)
    const got = await site.handle(new Request('http://127.0.0.1/webhooks/hubspot'), '/webhooks/hubspot')
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await site.handle(new Request('http://127.0.0.1/webhooks'), '/webhooks')).status).toBe(404)
  })

  test('a database that is away, or does not answer in time, is 503', async () => {
    await using world = await startWorld('webhooks')
    await using away = openDatabase('postgres://nobody@127.0.0.1:1/none')
    await using site = siteOf(world, { db: away })
    expect((await site.send([])).status).toBe(503)

    await using slow = siteOf(world, { patienceMs: 200 })
    const client = await world.db.pool.connect()
    await client.query('begin; lock table hubspot_private.inbox in access exclusive mode')
    expect((await slow.send([changeOf(world, 5)])).status).toBe(503)
    await client.query('rollback')
    client.release()
  })

  test('without a client secret it is 503, so that HubSpot comes again once there is one', async () => {
    await using world = await startWorld('webhooks')
    await using site = siteOf(world, { secrets: () => Promise.resolve([]) })
    expect((await site.send([])).status).toBe(503)
    await expect.poll(() => problems(world)).toMatchObject([{ code: 'SH015', is_open: true, hint: expect.stringContaining('HUBSPOT_CLIENT_SECRET') }])
  })
})

describe('an event is taken once, and what is not ours is left out', () => {
  test('a replay, by its attempt or its order of keys another, changes nothing and costs no call', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id = ''] = idsOf(world)
    const event = changeOf(world, Number(id))
    expect(await (await site.send([event, event])).json()).toEqual({ stored: 1, repeated: 1, unreadable: 0, other_portals: 0 })
    await site.caughtUp()
    world.store.resetCalls()
    const turned = Object.fromEntries(Object.entries({ ...event, attemptNumber: 7 }).reverse())
    expect(await (await site.send([turned])).json()).toMatchObject({ stored: 0, repeated: 1 })
    await site.caughtUp()
    expect(world.store.calls()).toEqual([])
    // eventId alone is not unique.
    expect(await (await site.send([{ ...event, propertyName: 'lastname' }])).json()).toMatchObject({ stored: 1 })
  })

  test('events of another portal are left out, with a problem; ours in the same request count', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [one, two] = idsOf(world).map(Number)
    const response = await site.send([changeOf(world, one, { portalId: 77 }), changeOf(world, two, { portalId: String(world.store.portalId) })])
    expect([response.status, await response.json()]).toEqual([200, { stored: 1, repeated: 0, unreadable: 0, other_portals: 1 }])
    expect(await inbox(world)).toMatchObject([{ ids: [String(two)] }])
    await expect.poll(() => problems(world)).toMatchObject([{ code: 'SH230', message: expect.stringContaining('77'), is_open: true }])
    await world.advance(25 * 3_600_000)
    await world.db.query('select hubspot_private.sweep()')
    expect(await problems(world)).toMatchObject([{ is_open: false }])
  })

  test('what is not tracked, or of no known kind, is ignored and counted; what is no event is left out alone', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id] = idsOf(world).map(Number)
    const response = await site.send([
      changeOf(world, id),
      changeOf(world, 1, { subscriptionType: 'company.creation' }),
      changeOf(world, 2, { subscriptionType: 'conversation.newMessage' }),
      changeOf(world, 3, { subscriptionType: 'object.creation', objectTypeId: '2-99999' }),
      changeOf(world, 4, { subscriptionType: undefined, eventType: 'contact.deletion' }),
      changeOf(world, '12x'), changeOf(world, -5), changeOf(world, 1.5), changeOf(world, null), 5, null, [], { portalId: world.store.portalId },
    ])
    expect(await response.json()).toEqual({ stored: 5, repeated: 0, unreadable: 8, other_portals: 0 })
    await site.inbox.idle()
    expect(await world.db.query('select type, object, acted_on, ignored from hubspot.webhooks order by type')).toEqual([
      { type: 'company.creation', object: 'companies', acted_on: '0', ignored: '1' },
      { type: 'contact.deletion', object: 'contacts', acted_on: '1', ignored: '0' },
      { type: 'contact.propertyChange', object: 'contacts', acted_on: '1', ignored: '0' },
      { type: 'object.creation', object: null, acted_on: '0', ignored: '1' },
      { type: 'other', object: null, acted_on: '0', ignored: '1' },
    ])
  })

  test('ids beyond what a double holds keep their digits; no value is kept', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const body = `[${JSON.stringify(changeOf(world, 0, { propertyValue: 'ada@example.com \u0000' })).replace('"objectId":0', '"objectId":900719925474099312')}]`
    expect((await site.send(undefined, { body })).status).toBe(200)
    expect(await inbox(world)).toMatchObject([{ ids: ['900719925474099312'] }])
    expect(await world.db.query("select from hubspot_private.inbox i where i::text like '%ada%'")).toEqual([])
  })

  test('what nobody acted on, since its worker died, wakes another; old events are forgotten', async () => {
    await using world = await worldOf()
    await using site = siteOf(world, { inbox: { wake: () => undefined } })
    const [id = ''] = idsOf(world)
    await site.send([changeOf(world, Number(id))])
    await world.advance(3_000)
    await world.db.query('select hubspot_private.sweep()')
    expect(await world.db.query(`select task_identifier from graphile_worker.jobs where task_identifier = 'hubspot:inbox'`)).toHaveLength(1)
    site.inbox.wake()
    await site.inbox.idle()
    expect(await inbox(world)).toMatchObject([{ is_applied: true }])
    await world.advance(11 * 60_000)
    await world.db.query('select hubspot_private.sweep()')
    expect(await inbox(world)).toEqual([])
  })
})

test('ten thousand events cost a read for each hundred records, in the class of polls', async () => {
  await using world = await startWorld('webhooks', { sandbox: { objects: { contacts: 2_000 } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  await using site = siteOf(world, { inbox: { wake: () => undefined } })
  world.store.resetCalls()
  const ids = idsOf(world).map(Number)
  world.store.edit('contacts', ids, { firstname: 'flooded' })
  for (let request = 0; request < 100; request += 1) {
    const events = Array.from({ length: 100 }, (_, i) => changeOf(world, ids[(request * 100 + i) % ids.length], { eventId: request * 100 + i }))
    expect((await site.send(events)).status).toBe(200)
  }
  await world.db.query('select * from hubspot_private.inbox_apply(100000)')
  expect(await queue(world)).toHaveLength(2_000)
  expect((await queue(world))[0]).toMatchObject({ reason: 'webhook', class: 2 })
  await site.caughtUp()
  expect(world.store.calls().map(({ kind, ids: asked }) => [kind, asked?.length])).toEqual(Array.from({ length: 20 }, () => ['batch read', 100]))
  expect(await world.differences('contacts')).toEqual([])
})
