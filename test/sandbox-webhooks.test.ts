import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { checkSignature } from '../src/hubspot/signature.ts'
import type { SandboxOptions, WebhookEvent } from '../src/sandbox/index.ts'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

const clientSecret = 'client-secret-of-the-app'
type Received = { headers: IncomingHttpHeaders; body: string; events: WebhookEvent[] }

/** Someone who listens, and answers with these statuses in turn, then 204. */
async function listener(...statuses: number[]) {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part)).on('end', () => {
      const body = Buffer.concat(parts).toString()
      received.push({ headers: request.headers, body, events: JSON.parse(body) as WebhookEvent[] })
      response.writeHead(statuses.shift() ?? 204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks?app=1`,
    events: () => received.flatMap(({ events }) => events),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const opened = async (settings: SandboxOptions['settings'] = {}): Promise<Hands> =>
  sandboxInHand({ objects: { contacts: 10, deals: 5, vehicle: 3 }, settings: { webhookShuffle: false, ...settings } })
const kinds = (events: readonly WebhookEvent[]) => events.map(({ subscriptionType, propertyName }) => [subscriptionType, propertyName].filter(Boolean).join(' '))

test('every write tells what happened, in classic form where HubSpot has one; a purge tells nobody', async () => {
  await using sandbox = await opened()
  await using hook = await listener()
  const { store } = sandbox
  store.setWebhooks({ url: hook.url, clientSecret })
  const [one, two, three, four] = [...store.records('contacts')].map(({ id }) => id) as [string, string, string, string]
  const [car] = [...store.records('vehicle')]
  store.edit('contacts', one, { firstname: 'Ada', lastname: store.record('contacts', one)!.properties['lastname'] ?? null })
  store.archive('contacts', two)
  store.restore('contacts', two)
  store.purge('contacts', four)
  store.gdprDelete(three)
  store.edit('vehicle', car!.id, { make: 'Tatra' })
  const { id } = store.merge('contacts', one, two)
  store.associate('deals', [...store.records('deals')][0]!.id, 'contacts', id)
  await store.webhooksSent()
  expect(kinds(hook.events())).toEqual([
    'contact.propertyChange firstname', 'contact.deletion', 'contact.restore', 'contact.privacyDeletion', 'contact.deletion',
    'object.propertyChange make', 'contact.merge', 'deal.associationChange', 'contact.associationChange',
  ])
  const [change, , , , , other, merge, edge] = hook.events()
  expect(change).toMatchObject({ portalId: sandbox.portalId, objectId: Number(one), propertyValue: 'Ada', occurredAt: store.now(), attemptNumber: 0 })
  expect(other).toMatchObject({ objectTypeId: expect.stringMatching(/^2-/), objectId: Number(car!.id) })
  expect(merge).toMatchObject({ primaryObjectId: Number(one), mergedObjectIds: [Number(two)], newObjectId: Number(id) })
  expect(edge).toMatchObject({ associationType: 'DEAL_TO_CONTACT', toObjectId: Number(id), associationRemoved: false })
})

test('generic form, subscriptions, and what is sensitive', async () => {
  await using sandbox = await opened({ webhookEdges: 'one', webhookPrivacy: 'alone' })
  await using hook = await listener()
  const { store } = sandbox
  const [one, two] = [...store.records('contacts')].map(({ id }) => id) as [string, string]
  store.addProperty('contacts', { name: 'diagnosis', dataSensitivity: 'highly_sensitive' })
  store.setWebhooks({ url: hook.url, clientSecret, format: 'generic' })
  store.edit('contacts', one, { diagnosis: 'secret' })
  store.gdprDelete(two)
  store.associate('deals', [...store.records('deals')][0]!.id, 'contacts', one)
  await store.webhooksSent()
  expect(kinds(hook.events())).toEqual(['object.propertyChange diagnosis', 'contact.privacyDeletion', 'object.associationChange'])
  expect(hook.events()[0]).toMatchObject({ objectTypeId: '0-1', propertyValue: 'REDACTED' })
  expect(hook.events()[2]).toMatchObject({ fromObjectTypeId: '0-3', toObjectTypeId: '0-1' })

  store.setWebhooks({ url: hook.url, clientSecret, subscriptions: [{ eventType: 'contact.propertyChange', propertyName: 'firstname' }, { eventType: 'contact.deletion' }] })
  hook.received.length = 0
  store.edit('contacts', one, { firstname: 'x', lastname: 'y' })
  store.archive('contacts', one)
  store.archive('deals', [...store.records('deals')][0]!.id)
  await store.webhooksSent()
  expect(kinds(hook.events())).toEqual(['contact.propertyChange firstname', 'contact.deletion'])
})

test.for([['v3'], ['v1'], ['v2'], ['v3', 'v1']] as const)('signatures %s are those that HubSpot makes', async (signatures) => {
  await using sandbox = await opened()
  await using hook = await listener()
  sandbox.store.setWebhooks({ url: 'https://hooks.example.com/in?app=1', via: hook.url, clientSecret, signatures })
  sandbox.store.create('contacts', [{ properties: { firstname: 'Zoë 🚀' } }])
  await sandbox.store.webhooksSent()
  const [{ headers, body } = { headers: {} as IncomingHttpHeaders, body: '' }] = hook.received
  const check = (url: string) => checkSignature({
    method: 'POST', urls: [url], body: Buffer.from(body), header: (name) => (headers[name] as string | undefined) ?? null,
  }, [clientSecret], Date.now())
  expect(check('https://hooks.example.com/in?app=1')).toBe('valid')
  expect(check(hook.url)).toBe(signatures[0] === 'v1' ? 'valid' : 'wrong')
  expect(Object.keys(headers).filter((name) => name.startsWith('x-hubspot-signature-v3'))).toHaveLength(signatures[0] === 'v3' ? 1 : 0)
})

test('batches hold a hundred events at most; what is not taken comes again, higher in attempts, and is given up in the end', async () => {
  await using sandbox = await opened({ webhookRetryDelay: 1, webhookConcurrency: 1 })
  await using hook = await listener(500, 204, 404)
  const { store } = sandbox
  store.setWebhooks({ url: hook.url, clientSecret, subscriptions: [{ eventType: 'contact.creation' }] })
  store.create('contacts', Array.from({ length: 250 }, () => ({})))
  await store.webhooksSent()
  expect(hook.received.every(({ events }) => events.length <= 100)).toBe(true)
  expect(hook.received.length).toBeGreaterThanOrEqual(5)
  expect(store.webhooks()).toMatchObject({ events: 250, delivered: 250, lost: 0, waiting: 0 })
  expect(store.deliveries().filter(({ status }) => status >= 400)).toHaveLength(2)
  expect(Math.max(...hook.events().map(({ attemptNumber }) => Number(attemptNumber)))).toBeGreaterThan(0)

  store.setWebhooks({ url: 'http://127.0.0.1:1/', clientSecret })
  store.configure({ webhookRetryDelay: 0 })
  store.create('deals', [{}])
  await store.webhooksSent()
  expect(store.webhooks()).toMatchObject({ lost: store.webhooks().events, delivered: 0 })
  expect(store.deliveries()).toHaveLength(store.webhooks().requests)
  expect(store.deliveries().at(-1)).toMatchObject({ status: 0, attempt: 10 })
})

test('some come twice, and out of order, by the seed', async () => {
  await using sandbox = await opened({ webhookShuffle: true, webhookDuplicates: 0.5, webhookBatch: 10 })
  await using hook = await listener()
  const { store } = sandbox
  store.setWebhooks({ url: hook.url, clientSecret, subscriptions: [{ eventType: 'contact.creation' }] })
  store.create('contacts', Array.from({ length: 100 }, () => ({})))
  await store.webhooksSent()
  const ids = hook.events().map(({ eventId }) => Number(eventId))
  expect(new Set(ids).size).toBe(100)
  expect(ids.length).toBeGreaterThan(120)
  expect(ids).not.toEqual(ids.toSorted((a, b) => a - b))
})

test('the control API does the same, and keeps the secret to itself', async () => {
  await using sandbox = await opened()
  await using hook = await listener()
  expect((await sandbox.control('POST /webhooks/events', { events: [{ a: 1 }] })).status).toBe(400)
  expect((await sandbox.control('PUT /webhooks', { url: 'nowhere', clientSecret })).status).toBe(400)
  expect((await sandbox.control('PUT /webhooks', { url: hook.url, clientSecret })).status).toBe(200)
  await sandbox.control('POST /webhooks/events', { events: [{ odd: true }] })
  await sandbox.store.webhooksSent()
  expect(hook.events()).toEqual([{ odd: true, attemptNumber: 0 }])
  const told = await sandbox.control('GET /webhooks')
  expect(told.body).toMatchObject({ target: { url: hook.url }, events: 1, delivered: 1, waiting: 0 })
  expect(told.text).not.toContain(clientSecret)
  expect((await sandbox.control('GET /webhooks/deliveries')).body.deliveries).toMatchObject([{ status: 204, attempt: 0 }])
  await sandbox.control('DELETE /webhooks')
  sandbox.store.create('contacts', [{}])
  await sandbox.store.webhooksSent()
  expect(hook.received).toHaveLength(1)
})
