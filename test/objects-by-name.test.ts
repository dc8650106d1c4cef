import { expect, test } from 'vitest'
import { startWorld } from './support/sync.ts'

// HubSpot documents these without a type id: whoever has them reads them by name. The sandbox knows one such object.
test.for(['contracts', 'partner_clients', 'partner_services'])('%s, of which only the name is known, is mirrored', async (object) => {
  await using world = await startWorld('by_name', {
    sandbox: { objects: { contracts: 130 } },
    client: (client) => ({ ...client, request: (request) => client.request({ ...request, path: request.path.replace(`/${object}`, '/contracts') }) }),
  })
  await world.load(object, ['hs_name', 'hs_status'])
  const rows = await world.db.query<{ id: string; hs_name: string | null; hs_status: string | null }>(`select id, hs_name, hs_status from hubspot.${object} order by id`)
  const there = [...world.store.records('contracts')].map(({ id }) => id).toSorted((one, other) => Number(one) - Number(other))
  expect(rows.map(({ id }) => id)).toEqual(there)
  const [first = ''] = there
  world.store.edit('contracts', first, { hs_name: 'edited' })
  await world.db.query('select hubspot.refresh($1, $2)', [object, [first]])
  await world.pass(3_000, 1_000)
  expect(await world.row(object, first)).toMatchObject({ hs_name: 'edited' })
})
