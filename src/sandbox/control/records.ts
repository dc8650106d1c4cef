import type { NewRecord, RecordId, SandboxRecord, SeedOptions, Store, Values } from '../types.ts'
import type { Body, ControlRoutes, Ids } from './route.ts'

/** Records. */
export const recordRoutes: ControlRoutes = {
  'POST /seed/:object': {
    about: 'Generates records, at once in search: {count, properties?, ties?, firstId?}.',
    needs: ['count'],
    run: (store, object, body) => store.seed(object, body as unknown as SeedOptions),
  },
  'POST /records/:object': {
    about: 'Creates records: {records: [{id?, properties?}], at?, lag?, fill?}; answers {ids}.',
    needs: ['records'],
    run: (store, object, { records, ...options }) => idsOf(store.create(object, records as NewRecord[], options)),
  },
  'PATCH /records/:object': {
    about: 'Edits records: {ids, properties, at?, lag?, touch?}; answers {ids}.',
    needs: ['ids', 'properties'],
    run: (store, object, { ids, properties, ...options }) => idsOf(store.edit(object, ids as Ids, properties as Values, options)),
  },
  'POST /archive/:object': {
    about: 'Archives records: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, object, { ids, ...options }) => store.archive(object, ids as Ids, options),
  },
  'POST /restore/:object': {
    about: 'Restores archived records: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, object, { ids, ...options }) => store.restore(object, ids as Ids, options),
  },
  'POST /purge/:object': {
    about: 'Removes records without a trace: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, object, { ids, ...options }) => store.purge(object, ids as Ids, options),
  },
  'POST /gdpr-delete/contacts': {
    about: 'Removes contacts for privacy, without a trace: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, _, { ids, ...options }) => store.gdprDelete(ids as Ids, options),
  },
  'POST /merge/:object': {
    about: 'Merges a record into the primary one: {primaryId, otherId, newId?, at?, lag?}; answers {id} of the survivor.',
    needs: ['primaryId', 'otherId'],
    run: (store, object, { primaryId, otherId, ...options }) => ({ id: store.merge(object, primaryId as RecordId, otherId as RecordId, options).id }),
  },
  'POST /index/flush': { about: 'Lets search learn of everything now.', run: (store) => store.flushIndex() },
  'GET /dump/:object': { about: 'All live records (?archived=true: archived ones) as lines of JSON.', run: dump },
}

function dump(store: Store, object: string, _: Body, query: URLSearchParams): unknown {
  return store.records(object, { archived: query.get('archived') === 'true' })
}

function idsOf(records: readonly SandboxRecord[]): { ids: string[] } {
  return { ids: records.map(({ id }) => id) }
}
