import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { createLog } from '../src/lib/log.ts'
import { createSeal } from '../src/lib/seal.ts'
import { createClientSecrets } from '../src/web/web.ts'
import { freshDatabase } from './support/cluster.ts'

const stored = 'client-secret-of-oauth'
const own = 'client-secret-of-the-environment'

test("signatures count by the environment's client secret, and by that of an app connected by OAuth, sealed or not", async () => {
  await using db = await freshDatabase('webhook_secrets')
  await using database = openDatabase(db.url)
  const lines: string[] = []
  const log = createLog({ level: 'debug', pretty: false, write: (line) => lines.push(line) })
  const key = randomBytes(32).toString('base64')
  const ask = (options: { clientSecret?: string; key?: string } = {}) =>
    createClientSecrets(database, { clientSecret: options.clientSecret, key: options.key, log })()
  const connect = (secret: string) => db.query('select hubspot.connect(client_id => $1, client_secret => $2, refresh_token => $3)', ['client-id', secret, 'refresh-token'])
  expect(await ask()).toEqual([])
  expect(await ask({ clientSecret: own })).toEqual([own])
  await connect(stored)
  expect(await ask()).toEqual([stored])
  expect(await ask({ clientSecret: own })).toEqual([own, stored])
  expect(await ask({ clientSecret: stored })).toEqual([stored])

  await connect(createSeal(key).seal(stored, 'client_secret'))
  expect(await ask({ key })).toEqual([stored])
  // A worker without the key, or with another, still has the environment's.
  expect(await ask({ clientSecret: own })).toEqual([own])
  expect(await ask({ clientSecret: own, key: randomBytes(32).toString('base64') })).toEqual([own])
  log.info(`${stored} ${own}`)
  expect(lines.join('')).not.toContain(stored)
})

test('it is looked for once in ten seconds, however many requests come', async () => {
  await using away = openDatabase('postgres://nobody@127.0.0.1:1/none')
  const secrets = createClientSecrets(away, { clientSecret: own, key: undefined, log: createLog({ level: 'error' }) })
  // Without the database nothing can be stored either: the request is told to come again.
  await expect(secrets()).rejects.toThrow()

  await using db = await freshDatabase('webhook_secrets')
  await using database = openDatabase(db.url)
  const kept = createClientSecrets(database, { clientSecret: own, key: undefined, log: createLog({ level: 'error' }) })
  const first = await kept()
  await database.close()
  expect(await kept()).toBe(first)
})
