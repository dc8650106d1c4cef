import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bind, execute, int32, message, parse, query, SYNC } from '../src/gateway/wire/messages.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { errorOf, openWire, rowsOf } from './support/wire.ts'

// What a text at the gateway says depends on more than its letters: settings, encodings, versions, and types of parameters.
let world: LiveWorld
let client: pg.Client
let id: string
let read: string
let edits = 0

beforeAll(async () => {
  world = await startLiveWorld('texts', { sandbox: { objects: { contacts: 5 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  await world.advance(1_000)
  id = [...world.store.records('contacts')][0]!.id
  read = `select firstname from hubspot.contacts where id = ${id}`
})
afterAll(() => world[Symbol.asyncDispose]())
beforeEach(async () => {
  client = await world.direct()
})

/** A name that HubSpot has from now on, and the mirror does not. */
function edit(): string {
  edits += 1
  world.store.edit('contacts', id, { firstname: `edit ${edits}` })
  return `edit ${edits}`
}

function gatewayUrl(): string {
  const url = new URL(world.db.url)
  ;[url.hostname, url.port] = [world.gateway.at.host, String(world.gateway.at.port)]
  return url.href
}

describe('a text that is no statement', () => {
  test.for(['', ' ', ';', ';;', '\n', '-- ping', '/* x */'])('is answered as the server does: %j', async (text) => {
    await using at = await openWire(gatewayUrl())
    for (const begin of [[], [query('begin')]]) {
      at.send(...begin, query(text), parse('', text), bind('', '', []), execute(''), SYNC, query('select 1'))
      const state = begin.length > 0 ? 'T' : 'I'
      if (begin.length > 0) expect(await at.answers()).toBe('CZT')
      expect(await at.answers()).toBe(`IZ${state}`)
      expect(await at.answers()).toBe(`12IZ${state}`)
      expect(await at.answers()).toBe(`TDCZ${state}`)
    }
    expect(world.lines.filter((line) => line.includes('could not be looked into'))).toEqual([])
  })
})

describe('a literal', () => {
  /** What is asked of HubSpot for a statement. */
  const callsOf = async (text: string) => {
    world.calls()
    await client.query(text)
    return world.calls()
  }

  test('in which a backslash escapes, by the session\'s setting, hides nothing', async () => {
    await client.query('set standard_conforming_strings = off; set escape_string_warning = off')
    expect(await callsOf(`${read} and lastname is distinct from 'O\\'Neil'`)).toContain('search')
    expect(await callsOf(`select '\\' <> ' as x from hubspot.contacts -- '`)).toContain('search')
    expect(await callsOf(`select 'O\\'Neil'`)).toEqual([])
    await expect(client.query(`set search_path = public; ${read} and 'O\\'Neil' <> ''`)).rejects.toMatchObject({ code: '0A000', message: expect.stringContaining('cannot tell') as string })
    const known = { name: 'escaped', text: `${read} and 'O\\'Neil' <> ''` }
    await client.query(known)
    await client.query('reset standard_conforming_strings')
    world.calls()
    await client.query(known)
    expect(world.calls()).toContain('search')
    expect(await callsOf(`${read} and 'O\\' <> ''`)).toEqual(['batch read'])
  })

  test('of a setting sent along with it is refused', async () => {
    await using at = await openWire(gatewayUrl())
    const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]
    at.send(...run('set standard_conforming_strings = off'), ...run(`${read} and 'O\\'Neil' <> ''`), SYNC)
    expect(errorOf(await at.until('Z'))?.code).toBe('0A000')
  })

  // A character of these may end in what is a backslash, a letter or a bracket in ASCII.
  test.for<[string, number[]]>([['sjis', [0x95, 0x5c]], ['sjis', [0xb1]], ['big5', [0xa5, 0x5c]], ['gbk', [0x81, 0x5c]], ['gb18030', [0x81, 0x30, 0x81, 0x36]], ['uhc', [0x81, 0x41]]])('in %s hides nothing: %j', async ([encoding, bytes]) => {
    await using at = await openWire(gatewayUrl())
    at.send(query(`set client_encoding = ${encoding}`))
    await at.until('Z')
    const said = Buffer.from(bytes)
    // A name too, which the server knows as what it is in its own encoding.
    for (const text of [[`${read} and lastname is distinct from E'`, `'`], [`select firstname from hubspot.contacts as a`, ` where a`, `.id = ${id}`], [`create temp view v`, ` as ${read}`], ['select firstname from v', '']]) {
      const name = edit()
      const parts = text.flatMap((part, i) => (i === 0 ? [Buffer.from(part)] : [said, Buffer.from(part)]))
      at.send(message('Q', ...parts, Buffer.alloc(1)))
      const answer = await at.until('Z')
      expect(errorOf(answer)).toBeUndefined()
      if (text[0]!.startsWith('create')) continue
      if (text[1] === '') expect(world.calls()).toContain('search')
      else expect(rowsOf(answer)).toEqual([[name]])
      world.calls()
    }
  })

  test('in shift_jis_2004, which has a backslash of two bytes, hides nothing', async () => {
    await using at = await openWire(gatewayUrl())
    at.send(query('set client_encoding = shift_jis_2004'))
    await at.until('Z')
    const name = edit()
    at.send(message('Q', Buffer.from(`${read} and lastname is distinct from E'`), Buffer.from([0x81, 0x5f, 0x5c]), Buffer.from(`'\0`)))
    const answer = await at.until('Z')
    expect(errorOf(answer)).toBeUndefined()
    expect(rowsOf(answer)).toEqual([[name]])
  })

  test.runIf(process.env['PG_VERSION'] === '15')('or a name that is a word of a later version hides nothing', async () => {
    await world.db.query('create function public.json_value(a text, b text, c text) returns text language sql as $$ select a $$')
    expect(await callsOf(`select json_value(firstname, 'x', 'y') from hubspot.contacts where id = ${id}`)).toContain('search')
    expect(await callsOf(`select system_user.firstname from hubspot.contacts system_user where system_user.id = ${id}`)).toContain('search')
    await expect(client.query('selec firstname from hubspot.contacts')).rejects.toMatchObject({ code: '42601' })
  })
})

describe('a parameter', () => {
  const float4 = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeFloatBE(value); return bytes }
  const oid = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(value); return bytes }

  test('of another type than a whole number\'s may be any id', async () => {
    await using at = await openWire(gatewayUrl())
    const bound = (value: Buffer, format: number) =>
      message('B', Buffer.from([0, 0, 0, 1, 0, format, 0, 1]), int32(value.length), value, Buffer.alloc(2))
    const asked = async (type: number, value: Buffer, format: number, where = 'id = $1') => {
      world.calls()
      at.send(parse('', `select firstname from hubspot.contacts where ${where}`, 'utf8', Buffer.concat([Buffer.from([0, 1]), int32(type)])), bound(value, format), execute(''), SYNC)
      expect(errorOf(await at.until('Z'))).toBeUndefined()
      return world.calls()
    }
    expect(await asked(20, Buffer.from(id), 0)).toEqual(['batch read'])
    expect(await asked(23, oid(Number(id)), 1)).toEqual(['batch read'])
    for (const where of ['id = $1', 'id = $1::int8']) expect(await asked(700, float4(Number(id)), 1, where)).toContain('search')
    expect(await asked(700, Buffer.from('16777217'), 0)).toContain('search')
    expect(await asked(26, oid(3_000_000_000), 1)).toContain('search')
    expect(await asked(0, float4(Number(id)), 1, '$1::float4 > 0 and id = $1')).toContain('search')
  })

  test('has the type that PREPARE said, or the server found', async () => {
    const calls = async (text: string) => {
      world.calls()
      await client.query(text)
      return world.calls()
    }
    await client.query(`prepare of_float (float4) as ${read.replace(id, '$1')}; prepare of_oid (oid) as ${read.replace(id, '$1')}; prepare open as ${read.replace(id, '$1')}`)
    expect(await calls('execute of_float (16777217)')).toContain('search')
    expect(await calls('execute of_oid (-1294967296)')).toContain('search')
    expect(await calls(`execute open (${id})`)).toEqual(['batch read'])
    expect(await calls(`prepare here (float4) as ${read.replace(id, '$1')}; execute here (16777217)`)).toContain('search')
  })

  test('or a constant is cast to a type of the session\'s own', async () => {
    await client.query('create domain pg_temp.int4 as real')
    world.calls()
    await client.query(`select firstname from hubspot.contacts where id = '16777217'::int4`)
    expect(world.calls()).toContain('search')
    client = await world.direct()
    await client.query(`select firstname from hubspot.contacts where id = '16777217'::int4`)
    expect(world.calls()).toEqual(['batch read'])
  })
})
