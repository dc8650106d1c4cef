import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type House, openHouse } from './support/house.ts'
import { type Running, runCli, startCli } from './support/cli.ts'
import { app } from './support/oauth.ts'

// pg-hubspot connect --oauth: a person authorises the app, the code comes back here, and what it gives is stored.

vi.setConfig({ testTimeout: 90_000 })
const SCOPE = 'crm.objects.contacts.read'
let house: House
beforeAll(async () => {
  house = await openHouse('oauth', { objects: { contacts: 30 } })
  house.store.addApp({ ...app, scopes: [SCOPE] })
})
afterAll(() => house[Symbol.asyncDispose]())

function start(args: string[] = [], env: NodeJS.ProcessEnv = {}): Running {
  return startCli(['connect', '--oauth', '--port', '0', '--scope', SCOPE, ...args], {
    env: { DATABASE_URL: house.db.url, HUBSPOT_API_URL: house.sandbox.url, HUBSPOT_CLIENT_ID: app.clientId, HUBSPOT_CLIENT_SECRET: app.clientSecret, ...env },
  })
}

/** The link that was printed. */
async function linkOf(running: Running): Promise<URL> {
  let said = ''
  running.child.stderr?.on('data', (text: string) => (said += text))
  await running.said(/redirect URL in HubSpot must be/)
  return new URL(/^ {2}(http\S+)$/m.exec(said)![1]!)
}

/** What a person's browser does with the page. */
async function decide(link: URL, decision: 'allow' | 'deny'): Promise<URL> {
  expect((await fetch(link)).status).toBe(200)
  const sent = await fetch(new URL('/oauth/authorize', link), { method: 'POST', body: new URLSearchParams([...link.searchParams, ['decision', decision]]), redirect: 'manual' })
  return new URL(sent.headers.get('location')!)
}
const visit = async (url: URL) => (await fetch(`http://127.0.0.1:${url.port}${url.pathname}${url.search}`)).status

test('the code comes back by loopback, only from the page that was opened, and a worker finds what it opens', async () => {
  await using worker = await house.worker()
  await using running = start(['--json'])
  const link = await linkOf(running)
  expect(Object.fromEntries(link.searchParams)).toMatchObject({ client_id: app.clientId, scope: SCOPE, redirect_uri: expect.stringMatching(/^http:\/\/localhost:\d+\/oauth\/callback$/) as string })
  expect(link.searchParams.get('state')).toMatch(/^[\w-]{43}$/)
  const back = await decide(link, 'allow')
  const forged = new URL(back)
  forged.searchParams.set('state', 'x'.repeat(43))
  expect(await visit(forged)).toBe(400)
  forged.searchParams.delete('state')
  expect(await visit(forged)).toBe(400)
  expect(await visit(new URL('/elsewhere', back))).toBe(404)
  expect(await visit(back)).toBe(200)
  const { code, stdout, stderr } = await running.ended
  expect(stderr + stdout).not.toContain(app.clientSecret)
  expect(stderr + stdout).not.toContain(back.searchParams.get('code'))
  expect(JSON.parse(stdout)).toMatchObject({ state: 'connected', message: expect.stringContaining(`connected to portal ${house.sandbox.portalId}`) as string })
  expect(code).toBe(0)
  expect(await house.db.query('select kind, state from hubspot_private.credentials')).toEqual([{ kind: 'oauth', state: 'active' }])
  await worker.end('SIGTERM')
})

test('with PG_HUBSPOT_KEY the database never holds a secret that can be read; the secret may come from standard input', async () => {
  await using running = start(['--client-id', app.clientId], { PG_HUBSPOT_KEY: Buffer.alloc(32, 7).toString('base64'), HUBSPOT_CLIENT_SECRET: '' })
  running.child.stdin?.end(`${app.clientSecret}\n`)
  await visit(await decide(await linkOf(running), 'allow'))
  expect(await running.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('no worker is running to check it') as string })
  expect(await house.db.query(`select bool_and(hubspot_private.is_sealed(s.secret)) as is_sealed from hubspot_private.credential_secrets() s
    join hubspot_private.credentials c on c.id = s.credential_id and c.state = 'candidate'`)).toEqual([{ is_sealed: true }])
})

test.for([
  ['a person who says no', [], {}, 'deny', /was not authorised: The user denied access to the app \(SH228\)\n {2}Run npx pg-hubspot connect --oauth again/],
  ['a wrong secret', [], { HUBSPOT_CLIENT_SECRET: 'another-secret' }, 'allow', /refuses the app's client id or secret.*\(SH227\)/],
] as const)('%s ends it with what to do', async ([, args, env, decision, text]) => {
  await using running = start([...args], env)
  await visit(await decide(await linkOf(running), decision))
  const { code, stderr } = await running.ended
  expect(stderr).toMatch(text)
  expect(code).toBe(1)
})

test('Ctrl-C ends the wait, and a port that is taken is said', async () => {
  await using running = start()
  await linkOf(running)
  running.child.kill('SIGINT')
  expect(await running.ended).toMatchObject({ code: 130 })
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const ended = await start(['--port', String(port)]).ended
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/cannot be listened on: EADDRINUSE \(SH104\)\n {2}Give another with --port/) as string })
  } finally {
    server.close()
  }
})

test('what is missing or cannot be is said before anything is asked', async () => {
  const env = { DATABASE_URL: house.db.url, HUBSPOT_API_URL: house.sandbox.url }
  expect(await runCli(['connect', '--oauth'], { env })).toMatchObject({ code: 64, stderr: expect.stringContaining('--client-id is missing') as string })
  expect(await runCli(['connect', '--oauth', '--client-id', 'x'], { env })).toMatchObject({ code: 1, stderr: expect.stringContaining('no client secret was given') as string })
  expect(await runCli(['connect'], { env: { ...env, PG_HUBSPOT_KEY: Buffer.alloc(32).toString('base64') }, input: 'two words' })).toMatchObject({ code: 1, stderr: expect.stringContaining('that is no access token') as string })
  const wrong = await runCli(['status'], { env: { ...env, PG_HUBSPOT_KEY: 'c2hvcnQ=' } })
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringMatching(/PG_HUBSPOT_KEY is not 32 bytes in base64.*\n.*openssl rand -base64 32/) as string })
  expect(wrong.stderr).not.toContain('c2hvcnQ=')
})
