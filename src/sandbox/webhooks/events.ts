import { hashText } from '../store/random.ts'
import type { Table } from '../store/table.ts'
import type { Tables } from '../store/tables.ts'
import type { ObjectName, RecordId, SandboxRecord, WebhookEvent, WebhookTarget } from '../types.ts'

/** Makes the events that HubSpot sends. */
export interface EventMaker {
  /** Something happened to a record. */
  record(object: ObjectName, verb: string, id: RecordId, fields?: WebhookEvent): WebhookEvent[]
  /** Properties have other values than before. */
  changes(object: ObjectName, before: SandboxRecord | undefined, after: SandboxRecord): WebhookEvent[]
  edge(from: ObjectName, fromId: RecordId, to: ObjectName, toId: RecordId, isRemoved: boolean): WebhookEvent[]
}

/** Types that have events of their own; all others are told of as object.*. */
const classic: readonly string[] = ['contacts', 'companies', 'deals', 'tickets', 'products', 'line_items']

/** What cannot be subscribed to. */
const silent: readonly string[] = ['hs_lastmodifieddate', 'lastmodifieddate', 'num_unique_conversion_events', 'hs_object_id']

/** Events for a target, as of now; what it did not subscribe to is left out. */
export function createEvents({ tables, target, portalId, now, nextId }: {
  tables: Tables
  target: WebhookTarget
  portalId: number
  now: number
  nextId: () => number
}): EventMaker {
  const { format = 'classic', appId = 1_160_452, subscriptions } = target
  const isWanted = (event: WebhookEvent) => subscriptions?.some(({ eventType, objectTypeId, propertyName }) =>
    eventType === event['subscriptionType']
    && (objectTypeId === undefined || objectTypeId === event['objectTypeId'] || objectTypeId === event['fromObjectTypeId'])
    && (propertyName === undefined || propertyName === event['propertyName'])) ?? true
  const make = (table: Table, verb: string, fields: WebhookEvent): WebhookEvent[] => {
    // Privacy deletions have no generic form.
    const isClassic = classic.includes(table.type.name) && (format === 'classic' || verb === 'privacyDeletion')
    const type = isClassic ? `${table.type.singular}.${verb}` : `object.${verb}`
    const event = {
      eventId: nextId(), subscriptionId: hashText(JSON.stringify([type, fields['propertyName']])) % 1_000_000, portalId, appId,
      occurredAt: now, subscriptionType: type, attemptNumber: 0, ...fields, changeSource: 'CRM_UI', sourceId: 'userId:28604240',
      ...(!isClassic && verb !== 'associationChange' && { objectTypeId: table.type.typeId }),
    }
    return isWanted(event) ? [event] : []
  }
  const record: EventMaker['record'] = (object, verb, id, fields = {}) => make(tables.get(object), verb, { objectId: Number(id), ...fields })
  return {
    record,
    changes(object, before, after) {
      const table = tables.get(object)
      return Object.entries(after.properties).flatMap(([name, value]) => {
        if (silent.includes(name) || (value ?? '') === (before?.properties[name] ?? '')) return []
        const isOpen = (table.definition(name)?.dataSensitivity ?? 'non_sensitive') === 'non_sensitive'
        return record(object, 'propertyChange', after.id, { propertyName: name, propertyValue: isOpen ? (value ?? '') : 'REDACTED' })
      })
    },
    edge(from, fromId, to, toId, isRemoved) {
      const [one, other] = [tables.get(from).type, tables.get(to).type]
      return make(tables.get(from), 'associationChange', {
        associationType: `${one.singular}_to_${other.singular}`.toUpperCase(),
        fromObjectId: Number(fromId), toObjectId: Number(toId), associationRemoved: isRemoved, isPrimaryAssociation: false,
        ...(!(classic.includes(from) && format === 'classic') && { fromObjectTypeId: one.typeId, toObjectTypeId: other.typeId }),
      })
    },
  }
}
