import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startCli } from './support/cli.ts'
import { freshDatabase } from './support/cluster.ts'
import { sandboxInHand } from './support/sandbox.ts'

test('docs/webhooks.md, from its first block to its last', async () => {
  const text = await readFile(join(import.meta.dirname, '..', 'docs', 'webhooks.md'), 'utf8')
  const blocks = [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', inner = '']) => ({ language, inner }))
  await using db = await freshDatabase('webhooks_docs')
  await using sandbox = await sandboxInHand({ objects: { contacts: 20 }, settings: { webhookBatch: 5 } })
  await db.query("select hubspot.connect($1), hubspot.track('contacts')", [sandbox.token])
  const env: Record<string, string> = { DATABASE_URL: db.url, HUBSPOT_API_URL: sandbox.url }
  await using worker = startCli(['worker', '--http', '127.0.0.1:0'], {
    env: { ...env, ...Object.fromEntries([...text.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!])) },
  })
  let told = ''
  worker.child.stderr!.on('data', (part: string) => (told += part))
  await worker.said(/http is served.*127/)
  const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(told)!
  const row = (query: string) => db.query<{ ok: boolean }>(`select (${query}) as ok`).then(([found]) => found!.ok)
  await expect.poll(() => row("exists (select from hubspot.status where state = 'live')"), { timeout: 60_000 }).toBe(true)

  const ran: string[] = []
  for (const { language, inner } of blocks) {
    if (language === 'sql') {
      for (const statement of inner.replaceAll(/--.*$/gm, '').split(';').filter((each) => each.trim() !== '')) {
        await db.query(statement)
        ran.push(statement)
      }
    }
    if (language !== 'sh') continue
    for (const line of inner.trim().split('\n')) {
      ran.push(line)
      if (line.startsWith('export ')) continue
      if (line.startsWith('npx pg-hubspot ')) {
        expect(line).toBe('npx pg-hubspot worker --http 127.0.0.1:8470')
        continue
      }
      const [, token, path] = /^curl -f (?:-H "Authorization: Bearer (\S+)" )?http:\/\/127\.0\.0\.1:8470(\S+)$/.exec(line) ?? expect.fail(`what is ${line}?`)
      const answer = await fetch(url + path, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
      expect(answer.status, line).toBe(200)
      if (path === '/metrics') {
        const page = await answer.text()
        // Alerts are on what there is.
        for (const [, name = ''] of text.matchAll(/`[^`]*?(pg_hubspot_[a-z_]+)/g)) expect(page, name).toContain(name)
      }
    }
  }
  expect(ran.length).toBeGreaterThan(8)

  // And HubSpot's webhooks come to rows.
  sandbox.store.setWebhooks({ url: `${url}/webhooks/hubspot`, clientSecret: 'the-client-secret-of-the-app' })
  const [{ id } = { id: '' }] = [...sandbox.store.records('contacts')]
  sandbox.store.edit('contacts', id, { firstname: 'Ada' })
  await expect.poll(() => row(`exists (select from hubspot.contacts where id = ${id} and firstname = 'Ada')`), { timeout: 20_000 }).toBe(true)
  expect(sandbox.store.deliveries().map(({ status }) => status)).toEqual([200])
})
