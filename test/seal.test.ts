import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSeal, isSealed } from '../src/lib/seal.ts'
import { tokenGet } from '../src/db/account-calls.ts'
import { sealSecrets } from '../src/sync/credentials.ts'
import { app, startOauth } from './support/oauth.ts'

// Secrets that are stored: sealed with PG_HUBSPOT_KEY, of no use without it.

const [key, other] = [1, 2].map(() => randomBytes(32).toString('base64')) as [string, string]

test('what is sealed opens with its key for its purpose alone, and never looks the same twice', () => {
  const [seal, wrong, none] = [createSeal(key), createSeal(other), createSeal(undefined)]
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
    const sealed = seal.seal(text, 'refresh_token')
    expect(isSealed(sealed)).toBe(true)
    expect(sealed).toMatch(/^[\x21-\x7e]+$/)
    expect(seal.open(sealed, 'refresh_token')).toBe(text.toWellFormed())
    expect(sealed).not.toBe(seal.seal(text, 'refresh_token'))
    expect(() => seal.open(sealed, 'access_token')).toThrow(expect.objectContaining({ code: 'SH012' }) as Error)
    expect(() => wrong.open(sealed, 'refresh_token')).toThrow(expect.objectContaining({ code: 'SH012' }) as Error)
    expect(() => none.open(sealed, 'refresh_token')).toThrow(expect.objectContaining({ code: 'SH011' }) as Error)
  }))
  const sealed = seal.seal('pat-na1-secret', 'access_token')
  // Any bit of it changed, any part of it cut off.
  for (let at = 'sealed:1:'.length; at < sealed.length; at += 1) {
    const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`
    if (at < sealed.length - 1) expect(() => seal.open(changed, 'access_token')).toThrow(expect.objectContaining({ code: 'SH012' }) as Error)
    expect(() => seal.open(sealed.slice(0, at), 'access_token')).toThrow(expect.objectContaining({ code: 'SH012' }) as Error)
  }
  expect(none.open('pat-na1-readable', 'access_token')).toBe('pat-na1-readable')
  expect(none.seal('pat-na1-readable', 'access_token')).toBe('pat-na1-readable')
})

test('what SQL was given is sealed before it is used, what was stored readable as soon as a worker has the key', async () => {
  await using world = await startOauth('seal')
  const secrets = () => world.db.query<{ purpose: string; is_sealed: boolean }>('select purpose, hubspot_private.is_sealed(secret) as is_sealed from hubspot_private.credential_secrets() order by 1')
  const sealed = async () => (await world.db.query<{ ok: boolean; message: string }>(`select ok, message from hubspot.health() where name = 'secrets'`))[0]
  expect(await sealed()).toEqual({ ok: false, message: 'stored secrets are readable by the owner of this database' })
  await sealSecrets({ ...world.deps, env: { key } })
  expect(await secrets()).toEqual([{ purpose: 'access_token', is_sealed: true }])
  expect(await sealed()).toEqual({ ok: true, message: 'the stored secrets are sealed' })

  await world.connect()
  world.store.addFault({ fault: '500', match: { kind: 'token' }, times: 1 })
  expect(await world.check({ key })).toBe('failed')
  expect((await secrets()).every(({ is_sealed }) => is_sealed)).toBe(true)
  await world.advance(60_000)
  expect(await world.check({ key })).toBe('connected')
  world.store.configure({ refreshRotation: 'strict' })
  for (let turns = 0; turns < 3; turns += 1) {
    await world.advance(40 * 60_000)
    expect(await world.ask(world.hubspot('worker', { key }))).toBe(world.sandbox.portalId)
  }
  expect(await secrets()).toEqual(['access_token', 'client_secret', 'former_refresh_token', 'refresh_token'].map((purpose) => ({ purpose, is_sealed: true })))
})

test('a missing or another key is a problem that says what to do, and takes nothing away', async () => {
  await using world = await startOauth('keys')
  await world.connect()
  expect(await world.check({ key })).toBe('connected')
  await world.db.query('select hubspot.connect($1)', [createSeal(key).seal(world.sandbox.token, 'access_token')])
  for (const [env, code] of [[{}, 'SH011'], [{ key: other }, 'SH012']] as const) {
    // A candidate that this worker cannot open may be another's to check.
    expect(await world.check(env)).toBe('failed')
    expect(await world.db.query(`select code, hint from hubspot.problems where resolved_at is null and property = 'new token' and code = $1`, [code]))
      .toEqual([{ code, hint: expect.stringContaining('PG_HUBSPOT_KEY') as string }])
    await expect(world.ask(world.hubspot('worker', env))).rejects.toMatchObject({ code })
  }
  expect(await world.check({ key })).toBe('connected')
  expect(await world.db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
  expect(await world.db.query('select kind from hubspot_private.credentials')).toEqual([{ kind: 'token' }])
})

test('a sealed secret that is put in another\'s place is no use there', async () => {
  await using world = await startOauth('swapped')
  await world.connect()
  expect(await world.check({ key })).toBe('connected')
  await world.db.query('update hubspot_private.credentials c set secret = o.client_secret from hubspot_private.oauth o where o.credential_id = c.id')
  await expect(world.ask(world.hubspot('worker', { key }))).rejects.toMatchObject({ code: 'SH012', message: expect.not.stringContaining(app.clientSecret) as string })
  expect(world.store.calls({ status: 401 })).toEqual([])
})

test('a secret that was renewed while it was being sealed stays what it is now', async () => {
  await using world = await startOauth('renewed')
  await world.connect()
  expect(await world.check()).toBe('connected')
  const was = (await tokenGet(world.deps.db, false))!.secret
  const { credentialSeal } = await import('../src/db/account-calls.ts')
  const [{ id }] = (await world.db.query<{ id: string }>('select id from hubspot_private.credentials')) as [{ id: string }]
  await credentialSeal(world.deps.db, { credentialId: id, purpose: 'access_token', secret: 'what-it-was-before', sealed: 'sealed:1:00000000:x' })
  await credentialSeal(world.deps.db, { credentialId: id, purpose: 'refresh_token', secret: 'what-it-was-before', sealed: 'sealed:1:00000000:x' })
  expect((await tokenGet(world.deps.db, false))!.secret).toBe(was)
})
