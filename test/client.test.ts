import { getEventListeners } from 'node:events'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { createClient } from '../src/hubspot/client.ts'
import { batchRead, fitsInUrl, listPage } from '../src/hubspot/objects.ts'
import { pathsOf } from '../src/hubspot/paths.ts'
import { search } from '../src/hubspot/search.ts'
import { Bug, Misuse, Refused, Throttled, Transient } from '../src/lib/errors.ts'
import { answering, failure, json, TOKEN } from './support/answers.ts'

const PAGE = { results: [{ id: '1', properties: { email: 'ada@example.com' } }] }
const list = { type: '0-1', properties: ['email'] }

describe('a success', () => {
  test('comes back as the bytes that were sent, with clock, correlation id and limits', async () => {
    await using hubspot = await answering((_, response) =>
      json(response, ' {"results":[], "big":12345678901234567890}\n', 200, {
        date: 'Thu, 17 Feb 2022 18:56:14 GMT',
        'x-hubspot-correlation-id': 'c-1',
        'x-hubspot-ratelimit-max': '190',
        'x-hubspot-ratelimit-remaining': '189',
        'x-hubspot-ratelimit-interval-milliseconds': '10000',
        'x-hubspot-ratelimit-daily': 'unlimited',
        'x-hubspot-ratelimit-daily-remaining': '0',
      }),
    )
    const before = performance.now()
    const answer = await listPage(hubspot.client, list)
    expect(answer.body.toString()).toBe(' {"results":[], "big":12345678901234567890}\n')
    expect(answer).toMatchObject({ status: 200, date: '2022-02-17T18:56:14.000Z', correlationId: 'c-1' })
    expect(answer.limits).toEqual({ burstMax: 190, burstRemaining: 189, burstIntervalMs: 10_000, dailyRemaining: 0 })
    expect(answer.sentAt).toBeGreaterThanOrEqual(before)
    expect(answer.firstByteMs).toBeGreaterThan(0)
    expect(answer.firstByteMs).toBeLessThanOrEqual(performance.now() - before)
    expect(hubspot.requests[0]?.headers).toMatchObject({ authorization: `Bearer ${TOKEN}`, 'accept-encoding': 'gzip' })
  })

  test.each([1, 20_000])('is unpacked where it came as gzip (%i records)', async (records) => {
    // digits that do not repeat, so that the larger one is beyond what is unpacked in place
    const results = Array.from({ length: records }, (_, i) => ({ id: String((i * 2_654_435_761) % 4_294_967_296) }))
    const packed = gzipSync(JSON.stringify({ results }))
    expect(packed.length > 64 * 1024).toBe(records > 1)
    await using hubspot = await answering((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(packed)
    })
    expect(JSON.parse((await listPage(hubspot.client, list)).body.toString())).toEqual({ results })
  })

  test('includes 207, and a body that is rightly empty', async () => {
    await using hubspot = await answering((request, response) =>
      request.url?.endsWith('batch/archive') ? response.writeHead(204).end() : json(response, PAGE, 207),
    )
    expect((await batchRead(hubspot.client, { ...list, ids: ['1', '2'] })).status).toBe(207)
    const archive = { path: '/crm/objects/2026-09/0-1/batch/archive', body: {}, mayBeEmpty: true }
    expect((await hubspot.client.request(archive)).body).toHaveLength(0)
    expect(await failure(hubspot.client.request({ ...archive, mayBeEmpty: false }))).toBeInstanceOf(Transient)
  })

  test('leaves its connection to the next call', async () => {
    await using hubspot = await answering((_, response) => json(response, PAGE))
    for (let i = 0; i < 10; i += 1) await listPage(hubspot.client, list)
    expect(hubspot.requests).toHaveLength(10)
    // a second one serves calls made in the very turn in which the first is being freed
    expect(hubspot.sockets.size).toBeLessThanOrEqual(2)
  })

  test('is asked for with the token of that moment', async () => {
    const tokens = ['first', 'second']
    await using hubspot = await answering((_, response) => json(response, PAGE), { token: async () => tokens.shift()! })
    await listPage(hubspot.client, list)
    await listPage(hubspot.client, list)
    expect(hubspot.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer first', 'Bearer second'])
  })
})

describe('what is sent', () => {
  test('names types, ids and properties safely, the names joined by bare commas', async () => {
    await using hubspot = await answering((_, response) => json(response, PAGE), { version: 'v3' })
    await listPage(hubspot.client, { type: 'p1_a/b?', after: '7&8', limit: 5, archived: true, properties: ['a', 'b&c'] })
    await batchRead(hubspot.client, { type: '2-1', ids: ['9'], properties: [] })
    await search(hubspot.client, { type: '0-3', body: '{"limit":200}' })
    expect(hubspot.requests.map(({ method, url, body }) => `${method} ${url} ${body}`)).toEqual([
      'GET /crm/v3/objects/p1_a%2Fb%3F?limit=5&after=7%268&archived=true&properties=a,b%26c ',
      'POST /crm/v3/objects/2-1/batch/read?archived=false {"inputs":[{"id":"9"}],"properties":["hs_object_id"]}',
      'POST /crm/v3/objects/0-3/search {"limit":200}',
    ])
  })

  test('goes to dated paths, or to v3 and v4, and to no other version', () => {
    const both = (read: (paths: ReturnType<typeof pathsOf>) => string) => [read(pathsOf('2026-09')), read(pathsOf('v3'))]
    expect(both((p) => p.properties('0-1'))).toEqual(['/crm/properties/2026-09/0-1', '/crm/v3/properties/0-1'])
    expect(both((p) => p.schemas())).toEqual(['/crm-object-schemas/2026-09/schemas', '/crm-object-schemas/v3/schemas'])
    expect(both((p) => p.owners())).toEqual(['/crm/owners/2026-09', '/crm/v3/owners'])
    expect(both((p) => p.account())).toEqual(['/account-info/2026-09/details', '/account-info/v3/details'])
    expect(both((p) => p.oauthToken())).toEqual(['/oauth/2026-09/token', '/oauth/v1/token'])
    expect(both((p) => p.associationsBatchRead('0-3', '0-1'))).toEqual([
      '/crm/associations/2026-09/0-3/0-1/batch/read',
      '/crm/v4/associations/0-3/0-1/batch/read',
    ])
    expect(() => pathsOf('v4')).toThrow(Misuse)
    expect(() => pathsOf('2026-09').objects('..')).toThrow(Misuse)
  })

  test('is never a list whose URL would be too long, nor a batch beyond 100', async () => {
    const names = Array.from({ length: 600 }, (_, i) => `property_${i}`)
    expect(fitsInUrl(names.slice(0, 300))).toBe(true)
    expect(fitsInUrl(names)).toBe(false)
    await using hubspot = await answering((_, response) => json(response, PAGE))
    expect(() => listPage(hubspot.client, { type: '0-1', properties: names })).toThrow(Bug)
    expect(() => batchRead(hubspot.client, { type: '0-1', ids: names, properties: [] })).toThrow(Bug)
    expect(hubspot.requests).toHaveLength(0)
  })

  test('goes over TLS, or to this machine', () => {
    const to = (baseUrl: string) => () => createClient({ baseUrl, token: () => TOKEN })
    for (const url of ['http://api.hubapi.com', 'http://127.0.0.1.example.com', 'ftp://localhost', 'hubspot', '']) {
      expect(to(url)).toThrow(Misuse)
    }
    expect(to('https://user:secret@api.hubapi.com')).toThrow(/^(?!.*secret)/)
    expect(to('https://user:secret@api.hubapi.com')).toThrow(Misuse)
    for (const url of ['https://example.com/proxy/', 'http://localhost:1', 'http://[::1]:1']) expect(to(url)).not.toThrow()
  })

  test('holds a token that can be one', async () => {
    await using hubspot = await answering((_, response) => json(response, PAGE), { token: () => 'pat-na1 \n' })
    expect(await failure(listPage(hubspot.client, list))).toMatchObject({ code: 'SH201', status: 0 })
    expect(hubspot.requests).toHaveLength(0)
  })
})

describe('an answer that cannot be used is transient:', () => {
  const cases: Record<string, [string, RegExp, Parameters<typeof answering>[0]]> = {
    'reset before it': ['SH206', /reach/, (request) => request.socket.resetAndDestroy()],
    'closed before it': ['SH206', /reach/, (request) => request.socket.destroy()],
    'no HTTP': ['SH206', /reach/, (request) => request.socket.end('220 smtp ready\r\n')],
    'body shorter than announced': ['SH208', /broke off/, (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
      response.write('{"results":[]}', () => request.socket.end())
    }],
    'chunks that end without an end': ['SH208', /broke off/, (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"results":[]}', () => request.socket.destroy())
    }],
    'gzip cut short': ['SH208', /compression/, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      response.end(gzipSync('{"results":[]}').subarray(0, 20))
    }],
    'another encoding': ['SH208', /encoded as br/, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'br' }).end('x')
    }],
    'a bomb': ['SH208', /larger than 100000/, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      response.end(gzipSync(`{"x":"${'x'.repeat(100_000)}"}`))
    }],
    'a body without end': ['SH208', /larger than 100000/, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const more = () => response.destroyed || response.write('x'.repeat(50_000), more)
      more()
    }],
    'a web page': ['SH208', /text\/html/, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>')],
    'no content type': ['SH208', /content type/, (_, response) => response.writeHead(200).end('{}')],
    nothing: ['SH208', /empty/, (_, response) => json(response, '')],
    'half its JSON': ['SH208', /cut short/, (_, response) => json(response, '{"results":[{"id":"1"')],
  }
  test.each(Object.entries(cases))('%s', async (_, [code, message, handler]) => {
    await using hubspot = await answering(handler, { bodyLimit: 100_000 })
    const error = await failure(listPage(hubspot.client, list))
    expect(error).toBeInstanceOf(Transient)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.hint).not.toBe('')
  })

  test('nobody there', async () => {
    const hubspot = await answering(() => {})
    const { url } = hubspot
    await hubspot[Symbol.asyncDispose]()
    await using client = createClient({ baseUrl: url, token: () => TOKEN })
    expect(await failure(listPage(client, list))).toMatchObject({ code: 'SH206' })
  })

  test('no head in time', async () => {
    await using hubspot = await answering(() => {}, { timeouts: { firstByteMs: 40 } })
    expect(await failure(listPage(hubspot.client, list))).toMatchObject({ code: 'SH206', message: /within 40 ms/ })
  })

  test('a body that drips past its time', async () => {
    const drips = new Set<NodeJS.Timeout>()
    await using hubspot = await answering(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        drips.add(setInterval(() => response.write(' '), 10))
      },
      { timeouts: { firstByteMs: 2_000, totalMs: 80 } },
    )
    expect(await failure(listPage(hubspot.client, list))).toMatchObject({ code: 'SH206', message: /whole within 80 ms/ })
    drips.forEach(clearInterval)
  })
})

test('a body may take longer than its head', async () => {
  await using hubspot = await answering(
    (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"results":')
      setTimeout(() => response.end('[]}'), 150)
    },
    { timeouts: { firstByteMs: 100 } },
  )
  expect((await listPage(hubspot.client, list)).body.toString()).toBe('{"results":[]}')
})

describe('an aborted call', () => {
  test('ends at once with the reason, before it is sent, before the head, and in the body', async () => {
    const reason = new Error('the worker stops')
    const stop = new AbortController()
    let arrived = () => {}
    await using hubspot = await answering((request, response) => {
      if (request.url?.includes('after')) response.writeHead(200, { 'content-type': 'application/json' }).write('{')
      setTimeout(arrived, 20)
    })
    for (const after of [undefined, '1']) {
      const abort = new AbortController()
      arrived = () => abort.abort(reason)
      await expect(listPage(hubspot.client, { ...list, after, signal: abort.signal })).rejects.toBe(reason)
    }
    stop.abort(reason)
    await expect(listPage(hubspot.client, { ...list, signal: stop.signal })).rejects.toBe(reason)
    expect(hubspot.requests).toHaveLength(2)
  })

  test('leaves nothing on the signal, nor a timer, however many went before', async () => {
    const { signal } = new AbortController()
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    await using hubspot = await answering((_, response) => json(response, PAGE))
    await listPage(hubspot.client, { ...list, signal })
    const before = timers()
    for (let i = 0; i < 5; i += 1) await listPage(hubspot.client, { ...list, signal })
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    expect(timers()).toBeLessThan(before + 5)
  })

  test('and a closed client leave no call hanging', async () => {
    await using hubspot = await answering(() => void hubspot.client.close())
    expect(await failure(listPage(hubspot.client, list))).toBeInstanceOf(Transient)
  })
})

test('no error shows the token, whatever HubSpot echoes', async () => {
  for (const status of [400, 401, 403, 429, 500]) {
    const spelled = (one: (code: number) => string) => Array.from(TOKEN, (character) => one(character.charCodeAt(0))).join('')
    const escaped = `{"message": "bad ${spelled((code) => String.raw`\u${code.toString(16).padStart(4, '0')}`)}"}`
    const html = `<p>${spelled((code) => `&#${code};`)} ${spelled((code) => `&#x${code.toString(16)};`)} ${spelled((code) => `%${code.toString(16)}`)}</p>`
    for (const body of [{ message: `bad ${TOKEN}`, errors: [{ message: TOKEN }] }, `<p>${TOKEN}</p>`, escaped, html]) {
      await using hubspot = await answering((_, response) => json(response, body, status))
      const error = await failure(listPage(hubspot.client, list))
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(TOKEN)
      expect(JSON.stringify(error)).toContain('[redacted]')
    }
  }
  await using hubspot = await answering((request) => request.socket.destroy())
  expect(inspect(await failure(listPage(hubspot.client, list)), { depth: 20, showHidden: true })).not.toContain(TOKEN)
})

const kinds = { 429: Throttled, 500: Transient, 400: Refused }
test.each(Object.entries(kinds))('a %s counts, though its body breaks off', async (status, kind) => {
  await using hubspot = await answering((request, response) => {
    response.writeHead(Number(status), { 'content-type': 'application/json', 'content-length': 100 })
    response.write('{"message":', () => request.socket.destroy())
  })
  const error = await failure(listPage(hubspot.client, list))
  expect(error).toBeInstanceOf(kind)
  expect(error.detail['answer']).toMatchObject({ status: Number(status) })
})
