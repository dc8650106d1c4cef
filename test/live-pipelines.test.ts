import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ServerSide } from '../src/gateway/session/server-side.ts'
import { bind, execute, parse, SYNC } from '../src/gateway/wire/messages.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { errorOf, openWire, rowsOf } from './support/wire.ts'

let world: LiveWorld
let ids: readonly string[]
beforeAll(async () => {
  world = await startLiveWorld('pipelines', { sandbox: { objects: { contacts: 5 } } })
  await world.load('contacts', ['firstname'])
  await world.db.query('create table public.mine (n integer)')
  await world.advance(1_000)
  ids = [...world.store.records('contacts')].map(({ id }) => id)
})
afterAll(() => world[Symbol.asyncDispose]())

function open() {
  const url = new URL(world.db.url)
  ;[url.hostname, url.port] = [world.gateway.at.host, String(world.gateway.at.port)]
  return openWire(url.href)
}
const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]

describe('a pipeline', () => {
  test('of a thousand statements that mean nothing of ours asks what they mean once', async () => {
    await using at = await open()
    const inject = vi.spyOn(ServerSide.prototype, 'inject')
    at.send(...Array.from({ length: 1_000 }, (_, i) => run(`insert into public.mine values (${i})`)).flat(), SYNC)
    expect((await at.until('Z')).filter(({ kind }) => kind === 'C')).toHaveLength(1_000)
    expect(inject.mock.calls.filter(([sql]) => sql.includes('with recursive named'))).toHaveLength(1)
    inject.mockRestore()
  })

  test('reads what is ours as HubSpot has it, in whatever company', async () => {
    await using at = await open()
    world.store.edit('contacts', ids, { firstname: 'now' })
    at.send(
      ...run('insert into public.mine values (1)'), ...run(`create temp view mine as select firstname from hubspot.contacts where id = ${ids[0]}`), ...run('select * from pg_temp.mine'),
      ...run(`select firstname from hubspot.contacts where id = ${ids[1]} and exists (select from public.mine)`), SYNC,
    )
    const answer = await at.until('Z')
    expect(errorOf(answer)).toBeUndefined()
    expect(rowsOf(answer)).toEqual([['now'], ['now']])
    // What a name meant in one part, it need not in the next.
    at.send(...run('select firstname from mine'), ...run('drop view pg_temp.mine'), SYNC)
    expect(rowsOf(await at.until('Z'))).toEqual([['now']])
    at.send(...run('delete from mine'), ...run('delete from hubspot.contacts'), SYNC)
    expect(errorOf(await at.until('Z'))?.code).toBe('SH105')
  })

  test('that executes in SQL what it parsed by the protocol is refused, and each by itself is answered', async () => {
    await using at = await open()
    const read = (name: string) => parse(name, `select firstname from hubspot.contacts where id = ${ids[0]}`)
    world.store.edit('contacts', ids, { firstname: 'later' })
    for (const [name, before] of [['a', []], ['b', [...run(`prepare b as select 'x'`), ...run('deallocate b')]]] as const) {
      at.send(...before, read(name), ...run(`execute ${name}`), SYNC)
      expect(errorOf(await at.until('Z'))?.code, name).toBe('0A000')
    }
    at.send(read('c'), SYNC, ...run('execute c'), SYNC)
    await at.until('Z')
    expect(rowsOf(await at.until('Z'))).toEqual([['later']])
  })
})
