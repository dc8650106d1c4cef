import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { expect, test } from 'vitest'
import { startLiveWorld } from './support/live.ts'

const CERT = join(import.meta.dirname, 'support/localhost.pem')
const KEY = join(import.meta.dirname, 'support/localhost-key.pem')

test('foreign tables are read over TLS, and the gateway is known by its certificate', async () => {
  // Where the server's own account can read it.
  const directory = await mkdtemp(join(tmpdir(), 'live-tls-'))
  await chmod(directory, 0o711)
  const root = join(directory, 'root.pem')
  await writeFile(root, '')
  await chmod(root, 0o644)
  await using world = await startLiveWorld('live_tls', { sandbox: { objects: { contacts: 3 } }, gateway: { tls: { cert: CERT, key: KEY }, requireTls: true } })
  await world.load('contacts', ['firstname'])
  const [id = ''] = [...world.store.records('contacts')].map((record) => record.id)
  const { port } = world.gateway.at
  const enable = (host: string, sslmode: string | null, certificate: string | null = null) =>
    world.db.query('select hubspot.enable_live($1, $2, $3, $4, $5)', [host, port, new URL(world.db.url).password, sslmode, certificate])
  const read = () => world.ask<{ firstname: string }>('select firstname from hubspot_live.contacts where id = $1', [id])

  await enable('127.0.0.1', 'disable')
  await expect(read()).rejects.toMatchObject({ message: expect.stringContaining('could not connect') as string, detail: expect.stringContaining('encrypted') as string })
  await writeFile(root, rootCertificates[0]!)
  await enable('localhost', 'verify-full', root)
  await expect(read()).rejects.toMatchObject({ detail: expect.stringContaining('certificate verify failed') as string })
  await writeFile(root, await readFile(CERT))
  for (const name of ['first', 'second']) {
    world.store.edit('contacts', id, { firstname: name })
    expect(await read()).toEqual([{ firstname: name }])
  }
  await enable('localhost', 'require')
  expect(await world.ask('select count(*)::integer as n from hubspot_live.contacts')).toEqual([{ n: 3 }])
  await rm(directory, { recursive: true })
})
