import { createHash, createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkHead, checkSignature, type Verdict } from '../src/hubspot/signature.ts'
import { signatureHeaders } from '../src/sandbox/webhooks/signing.ts'

const url = 'https://hooks.example.com/webhooks/hubspot?from=crm'
const clientSecret = '5ec12e75-0000-4000-8000-000000000000'
const body = '[{"eventId":1,"propertyValue":"Zoë 🚀"}]'
const now = 1_700_000_000_000

const verdict = (
  headers: Record<string, string>,
  changes: Partial<{ method: string; urls: string[]; body: string; secrets: string[]; now: number }> = {},
): Verdict => {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const given = { method: 'POST', urls: [url], body, secrets: [clientSecret], now, ...changes }
  return checkSignature({ ...given, body: Buffer.from(given.body), header: (name) => lower.get(name) ?? null }, given.secrets, given.now)
}
const signed = (signatures: ('v1' | 'v2' | 'v3')[], target = url) => signatureHeaders({ url: target, clientSecret, signatures }, body, now)

test('each version is right as HubSpot documents it', () => {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const header = 'X-HubSpot-Signature'
  expect(verdict({ [header]: hash(clientSecret + body), [`${header}-Version`]: 'v1' })).toBe('valid')
  expect(verdict({ [header]: hash(clientSecret + body).toUpperCase() })).toBe('valid')
  expect(verdict({ [header]: hash(`${clientSecret}POST${url}${body}`), [`${header}-Version`]: 'v2' })).toBe('valid')
  const hmac = createHmac('sha256', clientSecret).update(`POST${url}${body}${now}`).digest('base64')
  expect(verdict({ [`${header}-v3`]: hmac, 'X-HubSpot-Request-Timestamp': String(now) })).toBe('valid')
})

describe('version 3', () => {
  const headers = signed(['v3', 'v1'])

  test.for([
    ['another method', { method: 'PUT' }],
    ['another URL', { urls: ['https://hooks.example.com/webhooks/hubspot?from=elsewhere'] }],
    ['another scheme', { urls: [url.replace('https', 'http')] }],
    ['another body', { body: body.replace('1', '2') }],
    ['another secret', { secrets: ['another'] }],
    ['no secret at all', { secrets: [] }],
  ] as const)('is wrong for %s', ([, changes]) => {
    expect(verdict(headers, { ...changes } as Parameters<typeof verdict>[1])).toBe('wrong')
  })

  test('holds for five minutes of real time, behind and ahead', () => {
    expect(verdict(headers, { now: now + 300_000 })).toBe('valid')
    expect(verdict(headers, { now: now - 300_000 })).toBe('valid')
    expect(verdict(headers, { now: now + 300_001 })).toBe('stale')
    expect(verdict(headers, { now: now - 300_001 })).toBe('stale')
    for (const odd of ['', 'soon', '-5', '1e13', '1700000000000.5', '99999999999999999999']) {
      expect(verdict({ ...headers, 'X-HubSpot-Request-Timestamp': odd }), odd).toBe('stale')
    }
  })

  test('is what counts where it is there: the older ones beside it are not asked', () => {
    expect(verdict({ ...headers, 'X-HubSpot-Signature-v3': 'AAAA' })).toBe('wrong')
    expect(verdict({ ...headers, 'X-HubSpot-Signature-v3': '' })).toBe('wrong')
    expect(verdict({ ...headers, 'X-HubSpot-Signature': 'wrong' })).toBe('valid')
  })

  test('is right for either of two secrets, and for either URL that the sender may have called', () => {
    expect(verdict(headers, { secrets: ['old', clientSecret], urls: ['http://10.0.0.1/', url] })).toBe('valid')
  })

  test('takes the URL with the characters unescaped that HubSpot unescapes, and no others', () => {
    const sent = 'https://hooks.example.com/a%3Ab%40c%2Fd?x=%27y%27&z=%20%25'
    expect(verdict(signed(['v3'], sent), { urls: [sent] })).toBe('valid')
    const hmac = createHmac('sha256', clientSecret).update(`POSThttps://hooks.example.com/a:b@c/d?x='y'&z=%20%25${body}${now}`).digest('base64')
    expect(verdict({ 'X-HubSpot-Signature-v3': hmac, 'X-HubSpot-Request-Timestamp': String(now) }, { urls: [sent] })).toBe('valid')
  })
})

test('a request without any signature has none, and that is seen before its body is read', () => {
  expect(verdict({})).toBe('missing')
  expect(verdict({ 'X-HubSpot-Request-Timestamp': String(now) })).toBe('missing')
  expect(checkHead(() => null, now)).toBe('missing')
})

test('no bit of any part can be another', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string({ minLength: 1 }), fc.nat(), (text, secret, at) => {
    const sent = Buffer.from(text).toString()
    const headers = signatureHeaders({ url, clientSecret: secret, signatures: ['v3'] }, sent, now)
    expect(verdict(headers, { body: sent, secrets: [secret] })).toBe('valid')
    expect(verdict(headers, { body: `${sent} `, secrets: [secret] })).toBe('wrong')
    const signature = Buffer.from(headers['X-HubSpot-Signature-v3']!, 'base64')
    signature[at % signature.length]! ^= 1 << (at % 8)
    expect(verdict({ ...headers, 'X-HubSpot-Signature-v3': signature.toString('base64') }, { body: sent, secrets: [secret] })).toBe('wrong')
  }), { numRuns: 50 })
})
