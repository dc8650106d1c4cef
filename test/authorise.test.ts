import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { awaitCallback } from '../src/cli/support/authorise.ts'
import { createClient } from '../src/hubspot/client.ts'
import { refreshTokens } from '../src/hubspot/oauth.ts'

// What reaches connect --oauth from outside: requests at the port of its callback, and HubSpot's answer with tokens.

/** What a port says to these bytes. */
async function say(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let said = ''
  socket.on('data', (data) => (said += data.toString('latin1'))).on('error', () => undefined)
  socket.write(text, 'latin1')
  socket.setTimeout(50, () => socket.destroy())
  await once(socket, 'close')
  return said
}

test('whatever comes to the port of the callback, the right code is still taken', async () => {
  await using callback = await awaitCallback(0)
  const { port, pathname } = new URL(callback.redirectUri)
  for (const target of ['//', '//?', '///', '//[', '//:/', 'http://', 'http://[/', '/%', '/%00', '*', 'x:', `//${pathname}`]) {
    expect(await say(Number(port), `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), target).toMatch(/^HTTP\/1\.1 40[04] /)
  }
  const target = fc.oneof(
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc.string({ unit: fc.constantFrom('/', ':', '[', ']', '@', '?', '#', '%', '\\', '.', 'a', '1', '\xff', '&', '=', ' ') }),
    fc.string().map((text) => `${pathname}?state=${text}`),
  )
  await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', 'CONNECT', 'TRACE', 'G'), target, async (method, text) => {
    expect(await say(Number(port), `${method} ${text} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).not.toMatch(/^HTTP\/1\.1 200 /)
  }), { numRuns: 150 })
  expect(await say(Number(port), `GET ${pathname}?state=${callback.state}&code=the-code HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toContain(' 200 OK')
  expect(await callback.code(AbortSignal.timeout(1_000))).toBe('the-code')
}, 30_000)

test('a scope that is none costs no tokens', async () => {
  const scopes = ['oauth', 'a\0b', 'a\ud800b', '', 7, null, 'crm.objects.contacts.read']
  const server = createServer((_, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify({ access_token: 'access', refresh_token: 'rotated', expires_in: 1800, scopes })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await using client = createClient({ token: () => '', baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    expect(await refreshTokens(client, (_, send) => send(), { clientId: 'id', clientSecret: 'secret' }, 'former')).toMatchObject({
      refreshToken: 'rotated', scopes: ['oauth', 'crm.objects.contacts.read'],
    })
  } finally {
    server.close()
  }
})
