import { expect, test, vi } from 'vitest'
import { openHouse } from './support/house.ts'
import { app } from './support/oauth.ts'

// Several worker processes and one OAuth app.

vi.setConfig({ testTimeout: 90_000 })

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
