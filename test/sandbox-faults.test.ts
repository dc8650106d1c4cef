import { connect } from 'node:net'
import { expect, test } from 'vitest'
import type { Fault } from '../src/sandbox/index.ts'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

const path = '/crm/objects/2026-09/contacts?limit=100'

/** What comes over the wire, to the last byte. */
function raw(sandbox: Hands): Promise<{ text: string; end: string }> {
  const { hostname, port } = new URL(sandbox.url)
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(Number(port), hostname, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${sandbox.token}\r\nConnection: close\r\n\r\n`))
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('end', () => resolve({ text, end: 'end' }))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve({ text, end: error.code ?? error.message }))
  })
}

const struck = (fault: Fault | Fault['type']) => async (): Promise<{ sandbox: Hands; done: () => Promise<void> }> => {
  const sandbox = await sandboxInHand({ objects: { contacts: 100 } })
  sandbox.store.addFault({ fault, times: 1 })
  return { sandbox, done: () => sandbox.close() }
}

test('faults that are answers come as HubSpot sends them, once each', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 1 } })
  const expected: [Fault | Fault['type'], object][] = [
    ['401', { status: 401, body: { category: 'EXPIRED_AUTHENTICATION' } }],
    ['403', { status: 403, body: { category: 'MISSING_SCOPES' } }],
    ['423', { status: 423, body: { status: 'error' } }],
    ['429', { status: 429, body: { policyName: 'TEN_SECONDLY_ROLLING' } }],
    [{ type: '429', policy: 'daily' }, { status: 429, body: { policyName: 'DAILY' } }],
    [{ type: '429', policy: 'search' }, { status: 429, body: { policyName: 'SECONDLY' } }],
    ['500', { status: 500, body: { message: 'internal error' } }],
    ['502', { status: 502, text: expect.stringContaining('<html>') }],
    ['503', { status: 503, text: '' }],
    ['504', { status: 504, text: expect.stringContaining('<html>') }],
    [{ type: '477', retryAfter: 90 }, { status: 477 }],
    [{ type: 'answer', status: 524, body: 'origin slow', headers: { 'Content-Type': 'text/plain', 'X-Odd': '1' } }, { status: 524, text: 'origin slow' }],
  ]
  for (const [fault, answer] of expected) {
    sandbox.store.addFault({ fault, times: 1 })
    const got = await sandbox.ask(path)
    expect(got).toMatchObject(answer)
    if (got.status === 503) expect(got.headers.get('content-type')).toBeNull()
    if (got.status === 477) expect(got.headers.get('retry-after')).toBe('90')
    expect((await sandbox.ask(path)).status).toBe(200)
  }
  expect(sandbox.store.faults()).toEqual([])
})

test('a reset is a reset, before the answer or inside it', async () => {
  const before = await struck('reset')()
  expect(await raw(before.sandbox)).toEqual({ text: '', end: 'ECONNRESET' })
  expect(before.sandbox.store.calls().at(-1)).toMatchObject({ status: 0, fault: 'reset' })
  await before.done()
  const inside = await struck('reset body')()
  const { text, end } = await raw(inside.sandbox)
  expect([end, text.includes('HTTP/1.1 200'), /"results":\[/.test(text), text.endsWith(']}')]).toEqual(['ECONNRESET', true, true, false])
  await inside.done()
})

test('a torn body is whole by its length and broken as JSON; a short one ends before its length', async () => {
  const split = (text: string) => {
    const [head = '', body = ''] = text.split('\r\n\r\n', 2)
    return { length: Number(/content-length: (\d+)/i.exec(head)?.[1]), body }
  }
  const torn = await struck('torn')()
  const whole = split((await raw(torn.sandbox)).text)
  expect(Buffer.byteLength(whole.body)).toBe(whole.length)
  expect(() => JSON.parse(whole.body) as unknown).toThrow()
  await torn.done()
  const short = await struck('short')()
  const cut = await raw(short.sandbox)
  expect(cut.end).toBe('end')
  expect(Buffer.byteLength(split(cut.text).body)).toBeLessThan(split(cut.text).length)
  await short.done()
})

test('a torn body can be compressed, and still arrives', async () => {
  const { sandbox, done } = await struck('torn')()
  const response = await fetch(sandbox.url + path, { headers: { authorization: `Bearer ${sandbox.token}`, 'accept-encoding': 'gzip' } })
  expect(response.headers.get('content-encoding')).toBe('gzip')
  const text = await response.text()
  expect(text.startsWith('{"results":[')).toBe(true)
  expect(() => JSON.parse(text) as unknown).toThrow()
  await done()
})

test('slow heads, slow bodies, hanging and odd content types', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 100 } })
  const timed = async (fault: Fault) => {
    sandbox.store.addFault({ fault, times: 1 })
    const start = performance.now()
    const response = await fetch(sandbox.url + path, { headers: { authorization: `Bearer ${sandbox.token}` } })
    const head = performance.now() - start
    const text = await response.text()
    expect(JSON.parse(text).results).toHaveLength(100)
    return { head, body: performance.now() - start - head, type: response.headers.get('content-type') }
  }
  expect((await timed({ type: 'slow head', ms: 120 })).head).toBeGreaterThan(115)
  expect((await timed({ type: 'slow body', ms: 200 })).body).toBeGreaterThan(150)
  expect((await timed({ type: 'content type', value: 'text/html' })).type).toBe('text/html')
  expect((await timed({ type: 'content type', value: null })).type).toBeNull()
  sandbox.store.addFault({ fault: 'hang' })
  const call = sandbox.store.nextCall({ kind: 'list' })
  await expect(fetch(sandbox.url + path, { headers: { authorization: `Bearer ${sandbox.token}` }, signal: AbortSignal.timeout(100) })).rejects.toThrow()
  expect(await call).toMatchObject({ status: 0, fault: 'hang' })
})

test('a fault strikes the calls it names: by kind, object, path, turn and chance', async () => {
  const strikes = async (seed: number, rule: object, count = 20) => {
    await using sandbox = await sandboxInHand({ seed })
    sandbox.store.addFault({ fault: '500', ...rule })
    const statuses: number[] = []
    for (let at = 0; at < count; at++) statuses.push((await sandbox.ask(at % 2 === 0 ? '/crm/v3/objects/deals' : '/crm/objects/2026-09/contacts')).status)
    return statuses.flatMap((status, at) => (status === 500 ? [at] : []))
  }
  expect(await strikes(1, { match: { object: 'deal' }, nth: 2, times: 3 })).toEqual([2, 4, 6])
  expect(await strikes(1, { match: { kind: 'search' } })).toEqual([])
  expect(await strikes(1, { match: { kind: ['search', 'list'], path: '/2026-09/' }, nth: 9 })).toEqual([17, 19])
  const some = await strikes(1, { probability: 0.5 })
  expect(some).toEqual(await strikes(1, { probability: 0.5 }))
  expect(some).not.toEqual(await strikes(2, { probability: 0.5 }))
  expect(some.length).toBeGreaterThan(3)
  expect(some.length).toBeLessThan(17)
})

test('latency is drawn from its range, and calls run side by side', async () => {
  await using sandbox = await sandboxInHand({ settings: { latency: [80, 120] } })
  const start = performance.now()
  const times = await Promise.all(Array.from({ length: 8 }, async () => {
    await sandbox.ask('/crm/v3/owners')
    return performance.now() - start
  }))
  expect(Math.min(...times)).toBeGreaterThan(75)
  expect(performance.now() - start).toBeLessThan(600)
})

test('answers are compressed for those who accept it, unless switched off', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 100 } })
  const encoding = async (accept: string) => (await sandbox.ask(path, { headers: { 'accept-encoding': accept } })).headers.get('content-encoding')
  expect([await encoding('gzip, deflate'), await encoding('identity')]).toEqual(['gzip', null])
  sandbox.store.configure({ gzip: false })
  expect(await encoding('gzip')).toBeNull()
})

test('a batch read may be answered by a copy that is behind, as lists are not', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 5 }, frozen: true })
  const [edited, archived, kept, lost] = [...sandbox.store.records('contacts')].map(({ id }) => id)
  const read = async (...ids: string[]) => {
    const { body } = await sandbox.ask('/crm/objects/2026-09/contacts/batch/read', { body: { inputs: ids.map((id) => ({ id })), properties: ['firstname'] } })
    const { results } = body as { results: { id: string; properties: { firstname: string } }[] }
    return Object.fromEntries(results.map(({ id, properties }) => [id, properties.firstname]))
  }
  const before = await read(edited!, archived!, kept!, lost!)
  sandbox.store.advance(60_000)
  sandbox.store.edit('contacts', edited!, { firstname: 'Edited' })
  sandbox.store.archive('contacts', archived!)
  sandbox.store.merge('contacts', kept!, lost!, { newId: false })
  const [made] = sandbox.store.create('contacts', [{ properties: { firstname: 'New' } }])
  const number = sandbox.store.addFault({ fault: { type: 'behind', ms: 30_000 }, match: { kind: 'batch read' } })
  expect(await read(edited!, archived!, kept!, lost!, made!.id)).toEqual(before)
  expect(((await sandbox.ask(path)).body as { results: { id: string }[] }).results.map(({ id }) => id)).not.toContain(archived)
  sandbox.store.advance(30_000)
  expect(await read(edited!, archived!, kept!, made!.id)).toEqual({ [edited!]: 'Edited', [kept!]: before[kept!], [made!.id]: 'New' })
  sandbox.store.removeFaults(number)
  expect(() => sandbox.store.addFault({ fault: { type: 'behind' } as never })).toThrow('needs ms')
})

test('records twice, left out or without properties, padding, a head without a body, a date that is off', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 5 } })
  const list = async () => (await sandbox.ask(path)).body as { results: { id: string; properties?: object }[] }
  const { results } = await list()
  const ids = results.map(({ id }) => id)
  const struck = async (fault: 'duplicates' | 'missing' | 'incomplete' | 'lacking') => {
    sandbox.store.addFault({ fault, times: 1 })
    return await list()
  }
  expect((await struck('duplicates')).results.map(({ id }) => id)).toEqual(ids.flatMap((id) => [id, id]))
  expect((await struck('missing')).results.map(({ id }) => id)).toEqual(ids.slice(1))
  expect((await struck('incomplete')).results.every((record) => !('properties' in record))).toBe(true)
  const count = (records: typeof results) => records.map(({ properties }) => Object.keys(properties!).length)
  expect(count((await struck('lacking')).results)).toEqual(count(results).map((all, at) => all - (at % 2 === 0 ? 1 : 0)))
  sandbox.store.addFault({ fault: { type: 'padding', bytes: 1_000_000 }, times: 1 })
  const padded = await sandbox.ask(path)
  expect(padded.text.length).toBeGreaterThan(1_000_000)
  expect((padded.body as { results: unknown }).results).toEqual(results)
  sandbox.store.addFault({ fault: { type: 'date', ms: -86_400_000 }, times: 1 })
  expect(Date.parse((await sandbox.ask(path)).headers.get('date')!)).toBe(Math.floor(sandbox.store.now() / 1_000) * 1_000 - 86_400_000)
  sandbox.store.addFault({ fault: 'hang body', times: 1 })
  const response = await fetch(sandbox.url + path, { headers: { authorization: `Bearer ${sandbox.token}` }, signal: AbortSignal.timeout(300) })
  expect(response.status).toBe(200)
  await expect(response.text()).rejects.toThrow()
  expect(() => sandbox.store.addFault({ fault: { type: 'padding' } as never })).toThrow('needs bytes')
})
