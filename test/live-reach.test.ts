import { randomBytes } from 'node:crypto'
import { afterAll, expect, inject, test } from 'vitest'
import { query } from './support/global-setup.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'

// What a query reads without naming it, and what is told to those who may not see all of it.

const { adminUrl } = inject('server')
const roles: string[] = []
afterAll(async () => {
  for (const name of roles) await query(adminUrl, `drop role ${name}`)
})

async function world(): Promise<LiveWorld> {
  const made = await startLiveWorld('live', { sandbox: { objects: { contacts: 3, deals: 3 } } })
  await made.load('contacts', ['firstname'])
  await made.load('deals', ['dealname'])
  await made.advance(1_000)
  made.calls()
  return made
}

/** A role that was granted live tables; `end` takes away what it was granted. */
async function reader({ db }: LiveWorld) {
  const name = `live_${randomBytes(4).toString('hex')}`
  await query(adminUrl, `create role ${name} login password 'secret'`)
  roles.push(name)
  await db.query('select hubspot.grant_live($1, $2)', [name, 'secret'])
  return { name, [Symbol.asyncDispose]: async () => void await query(db.adminUrl, `drop owned by ${name}`) }
}

const idsOf = ({ store }: LiveWorld) => [...store.records('contacts')].map(({ id }) => id)

test.for(['inherits', 'partition'] as const)('a parent that a table of the mirror %s of is read as a view of it is', async (kind) => {
  await using live = await world()
  const [id = ''] = idsOf(live)
  await live.db.query(kind === 'inherits'
    ? 'create table parent (id bigint, firstname text); create table middle () inherits (parent); alter table hubspot.contacts inherit middle'
    : 'create table parent (like hubspot.contacts) partition by list (id); alter table parent attach partition hubspot.contacts default')
  await live.db.query('create view over as select firstname from parent')
  await live.db.query('create table child () inherits (parent)').catch(() => undefined)
  const client = await live.direct()
  for (const from of [`parent where id = ${id}`, 'over', 'parent', `hubspot.contacts where id = ${id}`]) {
    const firstname = `by ${from}`
    live.store.edit('contacts', id, { firstname })
    expect((await client.query(`select firstname from ${from}`)).rows).toContainEqual({ firstname })
    await live.advance(1_000)
  }
  // Of children no rights are asked for.
  await using other = await reader(live)
  await query(live.db.adminUrl, `grant select on parent to ${other.name}; revoke all on hubspot.contacts from ${other.name}`)
  const bob = await live.direct(other.name)
  live.store.edit('contacts', id, { firstname: 'by right' })
  expect((await bob.query('select firstname from parent')).rows).toContainEqual({ firstname: 'by right' })
  await bob.end()
})

test('what a policy of a table reads is asked for too, where it counts for whoever asks', async () => {
  await using live = await world()
  await using other = await reader(live)
  const [id = ''] = idsOf(live)
  await live.db.query(`create view opened as select from hubspot.contacts where id = ${id} and firstname = 'open'`)
  await live.db.query(`grant select on opened to ${other.name}`)
  const policies = [`select from hubspot.contacts c where c.id = ${id} and c.firstname = 'open'`, 'select from opened']
  await live.db.query('alter table hubspot.deals enable row level security')
  const bob = await live.as(other.name)
  const own = await live.direct(other.name)
  const count = async (client: typeof bob, schema: string, where = 'true') =>
    (await client.query<{ n: number }>(`select count(*)::integer as n from ${schema}.deals where ${where}`)).rows[0]?.n
  for (const policy of policies) {
    await live.db.query(`create policy p on hubspot.deals for select to ${other.name} using (exists (${policy}))`)
    for (const [name, n] of [['open', 3], ['closed', 0]] as const) {
      live.store.edit('contacts', id, { firstname: name })
      expect([await count(bob, 'hubspot_live'), await count(own, 'hubspot')]).toEqual([n, n])
      await live.advance(1_000)
    }
    await live.db.query('drop policy p on hubspot.deals')
  }
  // By id it is still by id.
  await live.db.query(`create policy p on hubspot.deals for select to ${other.name} using (exists (${policies[0]}))`)
  const deal = [...live.store.records('deals')][0]!.id
  live.calls()
  await count(own, 'hubspot', `id = ${deal}`)
  expect(live.calls().toSorted()).toEqual(['batch read', 'search'])
  // The owner's rows are hidden by none.
  const owner = await live.direct()
  await count(owner, 'hubspot', `id = ${deal}`)
  expect(live.calls()).toEqual(['batch read'])
  await bob.end()
  await own.end()
})

test('who may not see all rows is told that some are older, and not which; the log says which, once', async () => {
  await using live = await world()
  await using other = await reader(live)
  const [mine = '', hidden = ''] = idsOf(live)
  await live.db.query(`alter table hubspot.contacts enable row level security; create view mine as select * from hubspot.contacts where id = ${mine}`)
  await live.db.query(`create policy mine on hubspot.contacts for select to ${other.name} using (id = ${mine})`)
  await live.db.query(`grant select on mine to ${other.name}`)
  live.store.edit('contacts', hidden, { firstname: 'edited' })
  await live.advance(1_000)
  await live.ask('begin')
  await live.ask(`select from hubspot.contacts where id = ${hidden} for update`)
  const told: string[] = []
  const bob = await live.direct(other.name)
  const owner = await live.direct()
  for (const client of [bob, owner]) client.on('notice', ({ message }) => told.push(/ for (.*): /.exec(message ?? '')?.[1] ?? String(message)))
  for (const from of ['hubspot.contacts', `hubspot.contacts where id = ${hidden}`, 'mine']) await bob.query(`select from ${from}`)
  await owner.query('select from hubspot.contacts')
  // A foreign table's reader gets no warning, and no error, whatever live_on_late says.
  const seen = await live.ask(`select from hubspot_live.contacts where id = ${hidden}`)
  await live.ask('rollback')
  expect(told).toEqual(['some records', 'some records', 'some records', hidden])
  expect(seen).toHaveLength(1)
  expect(live.lines.filter((line) => line.includes('older rows'))).toEqual([expect.stringMatching(new RegExp(`warn.*contacts.* ${hidden}: `))])
  await bob.end()
})
