import { PostgresIntrospector } from 'kysely-codegen/dist/introspector/dialects/postgres/postgres-introspector.js'
import type { Database } from '../db/database.ts'
import { columnType, type Style } from './columns.ts'
import { type Property, readFacts } from './facts.ts'
import { byCode, comment, interfaceNames, literal, objectKey, schemaName, typeKey } from './text.ts'

/** A relation of schema hubspot, as it goes into the file. */
type Relation = { table: string; name: string; about: string; fields: Field[] }
type Field = { column: string; about: string; type: string; zod: string }

/**
 * TypeScript for the relations of schema hubspot as they are now: an interface of each one's rows, their types as
 * node-postgres returns them, `DB` for kysely, and zod schemas. The same database gives the same text, on any machine.
 */
export async function generateTypes(db: Database, style: Style): Promise<{ text: string; relations: number }> {
  const relations = await readRelations(db, style)
  const uses = (word: string) => relations.some(({ fields }) => fields.some(({ type }) => type.includes(word)))
  const parts = [
    HEAD,
    ...(style.hasZod ? ['import { z } from "zod";\n'] : []),
    ...(uses('PostgresInterval') ? [INTERVAL] : []),
    ...relations.map(interfaceOf),
    databaseOf(relations),
    ...(style.hasZod ? [...(uses('PostgresInterval') ? [INTERVAL_SCHEMA] : []), ...relations.map(schemaOf)] : []),
  ]
  return { text: parts.join('\n'), relations: relations.length }
}

async function readRelations(db: Database, style: Style): Promise<Relation[]> {
  const facts = await readFacts(db)
  const introspector = new PostgresIntrospector({ defaultSchemas: ['hubspot'] })
  type Views = Parameters<typeof introspector.introspect>[0]['db']
  // It asks the catalogue of Postgres, whatever tables the connection is for.
  const { tables } = await introspector.introspect({ db: db.views as unknown as Views, includePattern: 'hubspot.*' })
  const sorted = tables.filter(({ schema }) => schema === 'hubspot').toSorted((a, b) => byCode(a.name, b.name))
  const names = interfaceNames(sorted.map(({ name }) => name))
  return sorted.map(({ name: table, columns }) => {
    const properties = facts.properties.get(table)
    return {
      table,
      name: names.get(table) ?? table,
      about: comment([facts.comments.get(table) ?? '']),
      fields: columns
        // A column that is being filled to take another's place is nobody's yet.
        .filter(({ comment: said }) => properties === undefined || said?.startsWith('What becomes column ') !== true)
        .toSorted((a, b) => byCode(a.name, b.name))
        .map(({ name: column, dataType, isArray, isNullable, comment: said }) => {
          const property = properties?.get(column)
          const options = property?.options.map(({ value }) => value) ?? []
          return {
            column,
            about: comment(property === undefined ? [said ?? ''] : aboutProperty(column, property), '  '),
            ...columnType({ dataType, isArray, isNullable, options, isExtra: properties !== undefined && column === '_extra' }, style),
          }
        }),
    }
  })
}

/** More options than these are a list to look up, not to read. */
const MOST_LABELS = 50

/** Of the comments in the database only what stays: that a column is being filled is no matter of its type. */
function aboutProperty(column: string, { property, label, description, is_archived, is_selected, options }: Property): string[] {
  const notes = [
    ...(property === column ? [] : [`Property ${property}.`]),
    ...(is_archived ? ['Archived in HubSpot.'] : is_selected ? [] : ['No longer chosen: not kept up to date.']),
  ]
  const labels = options.length > MOST_LABELS ? [] : options.filter((option) => option.label !== null && option.label !== option.value)
  return [
    [label, description].filter((text) => text !== null && text !== '').join(': '),
    ...notes,
    ...labels.map((option) => `- ${literal(option.value)}: ${option.label}`),
  ]
}

const interfaceOf = ({ name, about, fields }: Relation) =>
  `${about}export interface ${name} {\n${fields.map(({ column, about: said, type }) => `${said}  ${typeKey(column)}:${type.startsWith('\n') ? '' : ' '}${type};\n`).join('')}}\n`

const databaseOf = (relations: readonly Relation[]) =>
  `/** For kysely: \`new Kysely<DB>(…)\`, or together with your own tables. */
export interface DB {
${relations.map(({ table, name }) => `  ${literal(`hubspot.${table}`)}: ${name};\n`).join('')}}
`

// A schema that did not fit its interface would not compile.
const schemaOf = ({ name, fields }: Relation) =>
  `export const ${schemaName(name)} = z.object({\n${fields.map(({ column, zod }) => `  ${objectKey(column)}: ${zod},\n`).join('')}}) satisfies z.ZodType<${name}>;\n`

const HEAD = `// The tables of HubSpot in schema hubspot, written by: pg-hubspot types. It is written anew, not edited; --verify tells when that is due.
/* eslint-disable */
`

const UNITS = ['years', 'months', 'days', 'hours', 'minutes', 'seconds', 'milliseconds']

const INTERVAL = `/** An interval as node-postgres returns it. */
export interface PostgresInterval {
${UNITS.map((unit) => `  ${unit}?: number | undefined;\n`).join('')}}
`

const INTERVAL_SCHEMA = `const postgresIntervalSchema = z.object({
${UNITS.map((unit) => `  ${unit}: z.number().optional(),\n`).join('')}}) satisfies z.ZodType<PostgresInterval>;
`
