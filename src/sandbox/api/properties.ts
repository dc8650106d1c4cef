import type { Property } from '../data/properties.ts'
import type { Table } from '../store/table.ts'
import { type Answer, invalid, notFound, refuse } from './answers.ts'
import { flagParam, type Request } from './request.ts'

const sensitivities = ['non_sensitive', 'sensitive', 'highly_sensitive']

/** GET /crm/properties/{version}/{type}: all definitions of one sensitivity, live or archived; never paged. */
export function listProperties(request: Request): Answer {
  const { query } = request
  const archived = flagParam(query, 'archived')
  const sensitivity = query.get('dataSensitivity') ?? 'non_sensitive'
  if (!sensitivities.includes(sensitivity)) throw invalid(`dataSensitivity must be one of ${sensitivities.join(', ')}`)
  const table = request.table!
  const results = table.properties()
    .filter((property) => (property.archivedAt !== null) === archived && property.dataSensitivity === sensitivity)
    .map((property) => propertyAnswer(table, property))
  return { status: 200, body: { results } }
}

/** GET /crm/properties/{version}/{type}/{name}. */
export function getProperty(request: Request): Answer {
  const [name = ''] = request.path
  const table = request.table!
  const property = table.definition(name)
  if (!property || (property.archivedAt !== null) !== flagParam(request.query, 'archived')) {
    throw notFound(`Property ${name} does not exist`)
  }
  return { status: 200, body: propertyAnswer(table, property) }
}

/** GET /crm/properties/{version}/{type}/groups. */
export function listGroups(request: Request): Answer {
  const names = new Set(request.table!.properties().map((property) => property.groupName))
  const results = [...names].map((name, displayOrder) => ({ name, label: name.replace(/information$/, ' information'), displayOrder, archived: false }))
  return { status: 200, body: { results } }
}

/** GET /crm-object-schemas/{version}/schemas: custom objects with their properties. */
export function listSchemas(request: Request): Answer {
  const { account, query } = request
  if (account.settings.schemas === 'forbidden') throw refuse(403, 'This portal does not have access to custom objects', { category: 'BANNED' })
  const archived = flagParam(query, 'archived')
  const custom = account.settings.schemas === 'empty' ? [] : account.tables.all().filter((table) => table.type.custom && (table.archivedAt !== null) === archived)
  return { status: 200, body: { results: custom.map((table) => schemaAnswer(request, table)) } }
}

/** GET /crm-object-schemas/{version}/schemas/{type}; standard types too. */
export function getSchema(request: Request): Answer {
  return { status: 200, body: schemaAnswer(request, request.table!) }
}

function schemaAnswer({ account }: Request, table: Table): Record<string, unknown> {
  const { type } = table
  const properties = table.properties().filter(({ archivedAt }) => archivedAt === null)
  const texts = properties.filter((property) => property.type === 'string' && !property.hubspotDefined).map(({ name }) => name)
  return {
    id: type.typeId.split('-')[1],
    objectTypeId: type.typeId,
    fullyQualifiedName: account.tables.fullName(type),
    name: type.custom ? type.name : type.singular.toUpperCase(),
    labels: table.labels,
    primaryDisplayProperty: table.primaryDisplayProperty ?? type.usual[0] ?? 'hs_object_id',
    secondaryDisplayProperties: [],
    requiredProperties: type.custom && table.primaryDisplayProperty ? [table.primaryDisplayProperty] : [],
    searchableProperties: texts.slice(0, 20),
    properties: properties.map((property) => propertyAnswer(table, property)),
    associations: [],
    createdAt: table.time(table.createdAt),
    updatedAt: table.time(Math.max(table.createdAt, ...properties.map(({ updatedAt }) => updatedAt))),
    archived: table.archivedAt !== null,
    allowsSensitiveProperties: false,
    metaType: type.custom ? 'PORTAL_SPECIFIC' : 'HUBSPOT',
  }
}

function propertyAnswer(table: Table, property: Property): Record<string, unknown> {
  const { archivedAt } = property
  return {
    name: property.name,
    label: property.label,
    type: property.type,
    fieldType: property.fieldType,
    description: property.description,
    groupName: property.groupName,
    options: property.options.map((option) => ({ ...option, description: '' })),
    displayOrder: -1,
    calculated: property.calculated,
    externalOptions: property.externalOptions,
    hasUniqueValue: property.hasUniqueValue,
    hidden: property.hidden,
    hubspotDefined: property.hubspotDefined,
    formField: !property.readOnlyValue && !property.hidden,
    dataSensitivity: property.dataSensitivity,
    ...(property.referencedObjectType !== null && { referencedObjectType: property.referencedObjectType }),
    modificationMetadata: {
      archivable: !property.hubspotDefined,
      readOnlyDefinition: property.hubspotDefined,
      readOnlyValue: property.readOnlyValue,
      ...(property.type === 'enumeration' && { readOnlyOptions: property.hubspotDefined }),
    },
    archived: archivedAt !== null,
    ...(archivedAt !== null && { archivedAt: table.time(archivedAt) }),
    createdAt: table.time(property.createdAt),
    updatedAt: table.time(property.updatedAt),
  }
}
