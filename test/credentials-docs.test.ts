import { expect, test, vi } from 'vitest'
import { runCli, startCli } from './support/cli.ts'
import { blocksOf, statementsOf } from './support/docs.ts'
import { openHouse } from './support/house.ts'

// docs/credentials.md does what it says.

vi.setConfig({ testTimeout: 90_000 })

test('every command and statement of docs/credentials.md runs, in order', async () => {
  await using house = await openHouse('credentials_docs', { token: 'pat-na1-0123-4567-89ab', objects: { contacts: 5 } })
  const clientId = '12345678-9abc-def0-1234-56789abcdef0'
  house.store.addApp({ clientId, clientSecret: '0123-4567-89ab-cdef', scopes: ['crm.objects.contacts.read', 'crm.objects.deals.read'] })
  let env: NodeJS.ProcessEnv = { DATABASE_URL: house.db.url, HUBSPOT_API_URL: house.sandbox.url }
  const ran: string[] = []
  for (const { language, text } of await blocksOf('docs/credentials.md')) {
    if (language === 'sql') {
      for (const statement of statementsOf(text)) {
        await house.db.query(statement).catch((error: unknown) => expect.fail(`${statement}\n${String(error)}`))
        ran.push(statement)
      }
      continue
    }
    for (const line of text.trim().split('\n')) {
      ran.push(line)
      if (line === 'export PG_HUBSPOT_KEY=$(openssl rand -base64 32)') {
        env = { ...env, PG_HUBSPOT_KEY: Buffer.alloc(32, 1).toString('base64') }
        continue
      }
      const [, args = '', file] = /^npx pg-hubspot (.*?) < (\S+)$/.exec(line) ?? expect.fail(`what is ${line}?`)
      if (file === 'token.txt') {
        expect(await runCli(args.split(' '), { env, input: house.sandbox.token }), line).toMatchObject({ code: 0, stderr: '' })
        continue
      }
      await using running = startCli([...args.split(' '), '--port', '0'], { env })
      running.child.stdin?.end('0123-4567-89ab-cdef')
      let said = ''
      running.child.stderr?.on('data', (more: string) => (said += more))
      await running.said(/redirect URL/)
      const link = new URL(/^ {2}(http\S+)$/m.exec(said)![1]!)
      const sent = await fetch(new URL('/oauth/authorize', link), { method: 'POST', body: new URLSearchParams([...link.searchParams, ['decision', 'allow']]), redirect: 'manual' })
      const back = new URL(sent.headers.get('location')!)
      await fetch(`http://127.0.0.1:${back.port}${back.pathname}${back.search}`)
      expect(await running.ended, line).toMatchObject({ code: 0 })
    }
  }
  expect(ran.length).toBeGreaterThanOrEqual(8)
  // Its table of checks is of those that there are.
  const names = await house.db.query<{ name: string }>('select name from hubspot.health()')
  expect(names.map(({ name }) => name)).toEqual(expect.arrayContaining(['identity', 'account', 'token', 'scopes', 'secrets', 'worker', 'writes']))
})
