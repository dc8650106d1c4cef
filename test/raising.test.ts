import { expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'

// Triggers of a user's that raise what is no plain error: a failed assertion, or what the database itself raises when it is away, stops, or is full.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)

test('a failed assertion of a trigger\'s on delete, or on an association, holds up that record alone', async () => {
  await using world = await startWorld('asserts', { sandbox: { objects: { contacts: 6, deals: 3 } } })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  await world.db.query("select hubspot.track_associations('deals', 'contacts')")
  await world.drain()
  const [kept = '', gone = '', bad = '', good = ''] = idsOf(world)
  const [deal = '', other = ''] = [...world.store.records('deals')].map(({ id }) => id)
  await world.db.query(`create function public.keeper() returns trigger language plpgsql as $f$ begin assert old.id <> ${kept}, 'kept'; return old; end $f$;
    create trigger keeper before delete on hubspot.contacts for each row execute function public.keeper();
    create function public.apart() returns trigger language plpgsql as $f$ begin assert new.contact_id <> ${bad}, 'apart'; return new; end $f$;
    create trigger apart before insert on hubspot.deals_contacts for each row execute function public.apart()`)
  world.store.archive('contacts', [kept, gone])
  world.store.associate('deals', deal, 'contacts', bad)
  world.store.associate('deals', other, 'contacts', good)
  await world.db.query("select hubspot_private.associations_dirty('deals', $1), hubspot.refresh('contacts', $2)", [[deal, other], [kept, gone]])
  await world.pass(60_000, 5_000)
  expect(await world.row('contacts', gone)).toBeUndefined()
  const edges = 'select contact_id from hubspot.deals_contacts where deal_id = any ($1) and contact_id = any ($2)'
  expect(await world.db.query(edges, [[deal, other], [bad, good]])).toEqual([{ contact_id: good }])
  expect(await world.db.query('select object, record_id from hubspot.problems where resolved_at is null order by object'))
    .toEqual([{ object: 'contacts', record_id: kept }, { object: 'deals', record_id: deal }])
  await world.db.query('drop trigger keeper on hubspot.contacts; drop trigger apart on hubspot.deals_contacts')
  await world.pass(16 * 60_000, 4 * 60_000)
  expect(await world.db.query('select object from hubspot.problems where resolved_at is null')).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})
