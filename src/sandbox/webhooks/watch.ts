import type { Settings } from '../settings.ts'
import type { Tables } from '../store/tables.ts'
import type { EdgeInput, ObjectName, Store, WebhookEvent } from '../types.ts'
import type { Postman } from './delivery.ts'
import { createEvents, type EventMaker } from './events.ts'

/** What happens in a store that webhooks tell of. */
type Watched = Pick<Store, 'create' | 'edit' | 'archive' | 'restore' | 'gdprDelete' | 'merge' | 'associate' | 'dissociate' | 'associateAll' | 'dissociateAll'>

/** The same store, of whose writes events are posted once they are done. A purge tells nobody. */
export function watchStore<S extends Watched & Pick<Store, 'record' | 'now' | 'portalId'>>(
  store: S,
  { tables, settings, postman }: { tables: Tables; settings: Readonly<Settings>; postman: Postman },
): S & Watched {
  let eventId = 3_816_279_340
  const tell = (make: (events: EventMaker) => WebhookEvent[]) => {
    if (postman.target === null) return
    const { portalId } = store
    postman.post(make(createEvents({ tables, target: postman.target, portalId, now: store.now(), nextId: () => ++eventId })))
  }
  const each = (ids: Parameters<Store['archive']>[1]) => [ids].flat()
  const edges = (from: ObjectName, to: ObjectName, some: readonly EdgeInput[], isRemoved: boolean) =>
    tell((events) => some.flatMap(({ fromId, toId }) => [
      ...events.edge(from, fromId, to, toId, isRemoved),
      ...(settings.webhookEdges === 'both' ? events.edge(to, toId, from, fromId, isRemoved) : []),
    ]))

  return {
    ...store,
    create(object, records, options) {
      const made = store.create(object, records, options)
      tell((events) => made.flatMap((record) => [...events.record(object, 'creation', record.id, { changeFlag: 'CREATED' }), ...events.changes(object, undefined, record)]))
      return made
    },
    edit(object, ids, properties, options) {
      const before = postman.target === null ? [] : each(ids).map((id) => store.record(object, id))
      const after = store.edit(object, ids, properties, options)
      tell((events) => after.flatMap((record, at) => events.changes(object, before[at], record)))
      return after
    },
    archive(object, ids, options) {
      store.archive(object, ids, options)
      tell((events) => each(ids).flatMap((id) => events.record(object, 'deletion', id, { changeFlag: 'DELETED' })))
    },
    restore(object, ids, options) {
      store.restore(object, ids, options)
      tell((events) => each(ids).flatMap((id) => events.record(object, 'restore', id)))
    },
    gdprDelete(ids, options) {
      store.gdprDelete(ids, options)
      tell((events) => each(ids).flatMap((id) => [
        ...events.record('contacts', 'privacyDeletion', id, { changeFlag: 'DELETED' }),
        ...(settings.webhookPrivacy === 'with deletion' ? events.record('contacts', 'deletion', id, { changeFlag: 'DELETED' }) : []),
      ]))
    },
    merge(object, primaryId, otherId, options) {
      const survivor = store.merge(object, primaryId, otherId, options)
      tell((events) => events.record(object, 'merge', primaryId, {
        primaryObjectId: Number(primaryId), mergedObjectIds: [Number(otherId)], newObjectId: Number(survivor.id), numberOfPropertiesMoved: 1,
      }))
      return survivor
    },
    associate(from, fromId, to, toId, types) {
      store.associate(from, fromId, to, toId, types)
      edges(from, to, [{ fromId, toId }], false)
    },
    dissociate(from, fromId, to, toId, types) {
      store.dissociate(from, fromId, to, toId, types)
      edges(from, to, [{ fromId, toId }], types === undefined || types.length === 0)
    },
    associateAll(from, to, some) {
      store.associateAll(from, to, some)
      edges(from, to, some, false)
    },
    dissociateAll(from, to, some) {
      store.dissociateAll(from, to, some)
      edges(from, to, some, true)
    },
  }
}
