import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { startWorld, type World } from './support/sync.ts'

// One record that cannot be written, or an answer that keeps some back, and what becomes of the others.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const problems = (world: World) =>
  world.db.query("select record_id, code, resolved_at is null as is_open from hubspot.problems where object = 'contacts' order by id")

/** Lets a test write over the answers of batch reads. */
function answering(): { wrap: (client: Client) => Client; body: { next: object | undefined } } {
  const body: { next: object | undefined } = { next: undefined }
  const wrap = (client: Client): Client => ({
    ...client,
    async request(request) {
      const answer = await client.request(request)
      const other = request.path.endsWith('/batch/read') ? body.next : undefined
      if (other === undefined) return answer
      body.next = undefined
      return { ...answer, status: 207, body: Buffer.from(JSON.stringify(other)) }
    },
  })
  return { wrap, body }
}

describe('a record that Postgres refuses', () => {
  test('is left out with a problem, and the rest of its page arrives; it heals when the cause goes', async () => {
    await using world = await startWorld('refused', { sandbox: { objects: { contacts: 30 } } })
    await world.load('contacts', ['email', 'firstname'])
    await world.db.query('create unique index one_name on hubspot.contacts (firstname) where firstname like $q$same%$q$')
    const [a, b, c] = idsOf(world)
    for (const id of [a, b, c]) world.store.edit('contacts', id!, { firstname: id === c ? 'other' : 'same' })
    await world.pass(15_000)
    expect(await world.row('contacts', c!)).toMatchObject({ firstname: 'other' })
    const open = (await problems(world)).filter(({ is_open }) => is_open)
    expect(open).toMatchObject([{ code: 'SH213' }])
    expect([a, b]).toContain(open[0]?.record_id)
    await world.db.query('drop index hubspot.one_name')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect((await problems(world)).filter(({ is_open }) => is_open)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test.for(['index', 'constraint'] as const)('for the value that another gave up to it meanwhile: a unique %s', async (kind) => {
    await using world = await startWorld('exchanged', { sandbox: { objects: { contacts: 5 } } })
    const [a = '', b = ''] = idsOf(world)
    const name = (one: string, other: string) => {
      world.store.edit('contacts', a, { firstname: one })
      world.store.edit('contacts', b, { firstname: other })
    }
    for (const id of idsOf(world)) world.store.edit('contacts', id, { firstname: id })
    await world.load('contacts', ['firstname'])
    await world.db.query(kind === 'index' ? 'create unique index one_name on hubspot.contacts (firstname)'
      : 'alter table hubspot.contacts add constraint one_name unique (firstname) deferrable initially deferred')
    await world.advance(1)
    name(b, a)
    await world.pass(20 * 60_000, 60_000)
    const open = await world.db.query('select code, hint from hubspot.problems where resolved_at is null')
    expect(open).toEqual(kind === 'constraint' ? [] : Array(2).fill({ code: 'SH213', hint: expect.stringContaining('deferrable initially deferred') as string }))
    if (kind === 'index') await world.db.query('drop index hubspot.one_name')
    await world.pass(20 * 60_000, 60_000)
    expect(await world.differences('contacts')).toEqual([])
    expect((await problems(world)).filter(({ is_open }) => is_open)).toEqual([])
  })
})

describe("a user's trigger that raises", () => {
  /** Raises for records whose first name is the SQLSTATE. */
  const raiser = (when: string) => `create function public.raiser() returns trigger language plpgsql as $f$
    begin
      ${when}
      return coalesce(new, old);
    end $f$`
  const RAISE = `if new.firstname ~ '^[0-9A-Z]{5}$' then raise exception 'not this one' using errcode = new.firstname; end if;`
  const open = async (world: World) => (await problems(world)).filter(({ is_open }) => is_open)

  test.for(['42501', '42703', '42P01', '0A000', '25006', 'XX000', 'ZZ001', 'P0001', 'P0004', '23514', '22012', '54000', '22P02', 'SH104', 'SH105', 'SH208', 'SH020'])(
    'with %s leaves out that record alone, and it comes when the trigger lets it',
    async (state) => {
      await using world = await startWorld('raiser', { sandbox: { objects: { contacts: 12 } } })
      await world.load('contacts', ['firstname'])
      await world.db.query(raiser(RAISE))
      await world.db.query('create trigger raiser before insert or update on hubspot.contacts for each row execute function public.raiser()')
      const [bad, ...others] = idsOf(world)
      world.store.edit('contacts', bad!, { firstname: state })
      for (const id of others.slice(0, 4)) world.store.edit('contacts', id, { firstname: 'Ada' })
      await world.pass(20_000, 5_000)
      expect(await world.row('contacts', others[0]!)).toMatchObject({ firstname: 'Ada' })
      expect(await open(world)).toEqual([{ record_id: bad, code: 'SH213', is_open: true }])
      expect(await world.db.query('select message from hubspot.problems where code = $1', ['SH213'])).toEqual([{ message: expect.stringContaining('not this one') as string }])
      expect(await world.db.query('select state from hubspot.status')).toEqual([{ state: 'live' }])
      await world.db.query('drop trigger raiser on hubspot.contacts')
      await world.pass(16 * 60_000, 4 * 60_000)
      expect(await open(world)).toEqual([])
      expect(await world.differences('contacts')).toEqual([])
    },
  )

  test('in a language of messages that is not English, in a deferred constraint, or on delete: that record alone too', async () => {
    await using world = await startWorld('deferred', { sandbox: { objects: { contacts: 12 } } })
    await world.load('contacts', ['firstname'])
    await world.db.query(raiser(RAISE))
    await world.db.query('create constraint trigger raiser after insert or update on hubspot.contacts deferrable initially deferred for each row execute function public.raiser()')
    await world.db.query(`create function public.keeper() returns trigger language plpgsql as $f$
      begin if old.firstname = 'kept' then raise insufficient_privilege using message = 'kept'; end if; return old; end $f$`)
    await world.db.query('create trigger keeper before delete on hubspot.contacts for each row execute function public.keeper()')
    const [bad = '', kept = '', gone = '', other = ''] = idsOf(world)
    world.store.edit('contacts', kept, { firstname: 'kept' })
    await world.pass(10_000)
    world.store.edit('contacts', bad, { firstname: '42501' })
    world.store.edit('contacts', other, { firstname: 'Ada' })
    await world.pass(20_000, 5_000)
    world.store.archive('contacts', [kept, gone])
    await world.db.query("select hubspot.refresh('contacts', $1)", [[kept, gone]])
    await world.pass(20_000, 5_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'Ada' })
    expect(await world.row('contacts', gone)).toBeUndefined()
    expect((await open(world)).map(({ record_id, code }) => [record_id, code])).toEqual([[bad, 'SH213'], [kept, 'SH213']])
    await world.db.query('drop trigger raiser on hubspot.contacts; drop trigger keeper on hubspot.contacts')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('with a lock time-out or a deadlock is no record\'s fault: the page is tried again', async () => {
    await using world = await startWorld('passing', { sandbox: { objects: { contacts: 12 } } })
    await world.load('contacts', ['firstname'])
    await world.db.query('create sequence public.times')
    await world.db.query(raiser(`if nextval('public.times') <= 3 then raise exception 'in a moment' using errcode = new.firstname; end if;`))
    await world.db.query('create trigger raiser before update on hubspot.contacts for each row execute function public.raiser()')
    for (const state of ['40001', '40P01', '55P03', '53200', '57014']) {
      await world.db.query("select setval('public.times', 1, false)")
      world.store.edit('contacts', idsOf(world)[0]!, { firstname: state })
      await world.pass(60_000, 5_000)
      expect(await world.differences('contacts'), state).toEqual([])
    }
    expect((await problems(world)).filter(({ code }) => code === 'SH213')).toEqual([])
    expect(await open(world)).toEqual([])
  })

  test('for every record is the trigger\'s fault: nothing is left out, the problem names it, and mended it goes on', async () => {
    await using world = await startWorld('everyone', { sandbox: { objects: { contacts: 40 } } })
    await world.load('contacts', ['firstname'])
    await world.db.query(raiser('perform * from public.nowhere;'))
    await world.db.query('create trigger raiser before update on hubspot.contacts for each row execute function public.raiser()')
    world.store.edit('contacts', idsOf(world), { firstname: 'Ada' })
    await world.pass(60_000, 5_000)
    expect(await open(world)).toMatchObject([{ record_id: null, code: 'SH009' }])
    expect((await problems(world)).filter(({ code }) => code === 'SH213')).toEqual([])
    await world.db.query('drop trigger raiser on hubspot.contacts')
    await world.db.query("select hubspot.resume('contacts')")
    await world.pass(10_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('a refusal is over', () => {
  const open = async (world: World) => (await problems(world)).filter(({ is_open }) => is_open)

  test('when what was refused is undone in HubSpot: a read finds the record as the mirror has it', async () => {
    await using world = await startWorld('undone', { sandbox: { objects: { contacts: 12 } } })
    await world.load('contacts', ['firstname'])
    const [kept = '', bad = ''] = idsOf(world)
    await world.db.query(`create table public.mine (contact bigint references hubspot.contacts); insert into public.mine values (${kept});
      create function public.raiser() returns trigger language plpgsql as $f$ begin if new.firstname = 'bad' then raise 'no'; end if; return new; end $f$;
      create trigger raiser before update on hubspot.contacts for each row execute function public.raiser()`)
    const was = world.store.record('contacts', bad)!.properties['firstname']!
    world.store.archive('contacts', kept)
    world.store.edit('contacts', bad, { firstname: 'bad' })
    await world.db.query("select hubspot.refresh('contacts', $1)", [[kept, bad]])
    await world.pass(10_000, 5_000)
    expect((await open(world)).map(({ record_id }) => String(record_id)).toSorted()).toEqual([kept, bad].toSorted())
    world.store.restore('contacts', kept)
    world.store.edit('contacts', bad, { firstname: was }, { touch: false })
    await world.db.query('update hubspot_private.fetch_queue set not_before = hubspot_private.clock()')
    await world.pass(20 * 60_000, 5 * 60_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('but not by a read that finds it as it was while it is still refused', async () => {
    await using world = await startWorld('still', { sandbox: { objects: { contacts: 12, deals: 2 } } })
    await world.load('contacts', ['firstname'])
    const [one = ''] = idsOf(world)
    const [deal = ''] = [...world.store.records('deals')].map(({ id }) => id)
    await world.db.query("select hubspot.track_associations('contacts', 'deals')")
    await world.drain()
    await world.db.query(`create function public.raiser() returns trigger language plpgsql as $f$ begin raise 'no'; end $f$;
      create trigger raiser before insert on hubspot.contacts_deals for each row execute function public.raiser()`)
    world.store.associate('contacts', one, 'deals', deal)
    await world.db.query("select hubspot_private.associations_dirty('contacts', $1)", [[one]])
    await world.drain()
    expect(await open(world)).toMatchObject([{ record_id: one, code: 'SH213' }])
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one]])
    await world.pass(60_000, 20_000)
    expect(await open(world)).toMatchObject([{ record_id: one, code: 'SH213' }])
    await world.db.query('drop trigger raiser on hubspot.contacts_deals')
    await world.pass(20 * 60_000, 5 * 60_000)
    expect(await open(world)).toEqual([])
  })
})

describe("a user's trigger that returns null", () => {
  const open = async (world: World) => (await problems(world)).filter(({ is_open }) => is_open)
  const skip = (when: string) => `create function public.skip() returns trigger language plpgsql as $f$
    begin ${when} return coalesce(new, old); end $f$; create trigger skip before insert or update or delete on hubspot.contacts for each row execute function public.skip()`

  test('refuses that record, in whatever is done to it, with a problem that says so, and it heals when the trigger lets it', async () => {
    await using world = await startWorld('null', { sandbox: { objects: { contacts: 12 } } })
    await world.load('contacts', ['firstname'])
    const [changed = '', gone = '', other = ''] = idsOf(world)
    const made = world.store.create('contacts', [{ properties: { firstname: 'new' } }])[0]!.id
    await world.db.query(skip(`if coalesce(new.id, old.id) in (${changed}, ${gone}, ${made}) then return null; end if;`))
    world.store.edit('contacts', [changed, other], { firstname: 'Ada' })
    world.store.archive('contacts', gone)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[gone]])
    await world.pass(20_000, 5_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'Ada' })
    expect((await open(world)).map(({ record_id, code }) => `${record_id} ${code}`).toSorted()).toEqual([changed, gone, made].map((id) => `${id} SH213`).toSorted())
    expect(await world.db.query('select distinct substr(message, strpos(message, $1)) as message from hubspot.problems where code = $2', ['a trigger', 'SH213']))
      .toEqual([{ message: 'a trigger of yours returns null, which leaves the row out' }])
    expect(await world.db.query("select id::text, not_before > hubspot_private.clock() + interval '10 minutes' as is_parked from hubspot_private.fetch_queue order by id")).toEqual(
      [changed, gone, made].toSorted().map((id) => ({ id, is_parked: true })))
    await world.db.query('drop trigger skip on hubspot.contacts')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('for every record is the trigger\'s fault: one problem, and mended it goes on', async () => {
    await using world = await startWorld('nulls', { sandbox: { objects: { contacts: 40 } } })
    await world.load('contacts', ['firstname'])
    await world.db.query(skip('return null;'))
    world.store.edit('contacts', idsOf(world), { firstname: 'Ada' })
    await world.pass(60_000, 5_000)
    expect(await open(world)).toMatchObject([{ record_id: null, code: 'SH009' }])
    await world.db.query("drop trigger skip on hubspot.contacts; select hubspot.resume('contacts')")
    await world.pass(10_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('a batch read that lacks records', () => {
  test('deletes only what an error names as not found, and asks for the others again', async () => {
    const { wrap, body } = answering()
    await using world = await startWorld('lacks', { sandbox: { objects: { contacts: 6 } }, client: wrap })
    await world.load('contacts', ['firstname'])
    const ids = idsOf(world)
    world.store.archive('contacts', ids[0]!)
    for (const id of ids.slice(1)) world.store.edit('contacts', id, { firstname: 'Ada' })
    body.next = {
      status: 'COMPLETE', results: [], numErrors: 2,
      errors: [
        { status: 'error', category: 'OBJECT_NOT_FOUND', message: 'gone', context: { ids: [ids[0]] } },
        { status: 'error', category: 'INTERNAL_ERROR', message: 'internal error', context: { ids: ids.slice(1) } },
      ],
    }
    await world.db.query("select hubspot.refresh('contacts', $1)", [ids])
    await world.run('contacts', 'fetch')
    expect(await world.db.query('select id from hubspot.contacts order by id')).toEqual(ids.slice(1).map((id) => ({ id })))
    await world.pass(30_000, 2_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.row('contacts', ids[1]!)).toMatchObject({ firstname: 'Ada' })
  })
})

describe('the first load', () => {
  test('does not wait for a search that fails', async () => {
    await using world = await startWorld('searchless', { sandbox: { objects: { contacts: 150 } } })
    world.store.addFault({ match: { kind: 'search' }, fault: '502' })
    await world.db.query("select hubspot.track('contacts', '{firstname}')")
    await world.run('contacts', 'schema')
    await world.run('contacts', 'archive')
    expect(await world.run('contacts', 'backfill')).toBe('done')
    expect((await world.db.query("select rows, progress from hubspot.status"))[0]).toEqual({ rows: '150', progress: '1' })
  })
})
