import type { PropertyInput } from '../types.ts'
import { createGenerator, type Generate, type ValueContext } from './values.ts'

/** A property definition as an object type holds it. */
export interface Property {
  readonly name: string
  readonly label: string
  readonly type: string
  readonly fieldType: string
  readonly description: string
  readonly groupName: string
  readonly options: readonly PropertyOption[]
  readonly hasUniqueValue: boolean
  readonly hidden: boolean
  readonly calculated: boolean
  readonly readOnlyValue: boolean
  readonly hubspotDefined: boolean
  readonly externalOptions: boolean
  readonly referencedObjectType: string | null
  readonly dataSensitivity: 'non_sensitive' | 'sensitive' | 'highly_sensitive'
  /** Whether a call that asks for it is refused, by an error that names it or does not. */
  readonly unreadable: 'named' | 'unnamed' | null
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
  readonly archivedAt: number | null
  /** The formula that gives generated records their value; null: they have none. */
  readonly formula: string
  readonly generate: Generate | null
}

/** One choice of an enumeration. */
export interface PropertyOption {
  readonly label: string
  readonly value: string
  readonly displayOrder: number
  readonly hidden: boolean
}

const fieldTypes: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'number',
  bool: 'booleancheckbox',
  enumeration: 'select',
  date: 'date',
  datetime: 'date',
  phone_number: 'phonenumber',
  json: 'text',
  object_coordinates: 'text',
}

/** The formula that suits a property of which only the definition is known. */
function usualFormula(input: Pick<PropertyInput, 'type' | 'fieldType' | 'referencedObjectType'>): string {
  if (input.referencedObjectType === 'OWNER') return 'owner ?20'
  switch (input.type ?? 'string') {
    case 'number': return 'decimal 2 10000 ?15'
    case 'bool': return 'bool ?10'
    case 'enumeration': return input.fieldType === 'checkbox' ? 'picks ?10' : 'pick ?15'
    case 'date': return 'date ?20'
    case 'datetime': return 'datetime ?20'
    case 'phone_number': return 'phone ?25'
    case 'json': return 'json ?40'
    case 'object_coordinates': return 'coordinates ?50'
    default: return input.fieldType === 'textarea' ? 'long ?30' : 'text 8 ?20'
  }
}

/** What a definition needs to know of its surroundings. */
export type PropertyContext = Omit<ValueContext, 'options' | 'property'> & {
  /** The group of properties of which none is said. */
  readonly group: string
}

/** Completes a definition that someone gave; generated records have values in it where it is `filled`. */
export function createProperty(input: PropertyInput, context: PropertyContext, at: number): Property {
  const type = input.type ?? 'string'
  if (!/^[a-z][a-z0-9_]{0,249}$/.test(input.name)) throw new Error(`not a property name: ${input.name}`)
  if (!(type in fieldTypes)) throw new Error(`not a property type: ${type}`)
  const options = createOptions(input.options ?? [])
  const values = options.map((option) => option.value)
  const formula = input.filled ? usualFormula(input) : 'none'
  return {
    name: input.name,
    label: input.label ?? input.name,
    type,
    fieldType: input.fieldType ?? fieldTypes[type]!,
    description: input.description ?? '',
    groupName: input.groupName ?? context.group,
    options,
    hasUniqueValue: input.hasUniqueValue ?? false,
    hidden: input.hidden ?? false,
    calculated: input.calculated ?? false,
    readOnlyValue: input.readOnlyValue ?? input.calculated ?? false,
    hubspotDefined: false,
    externalOptions: input.referencedObjectType != null,
    referencedObjectType: input.referencedObjectType ?? null,
    dataSensitivity: input.dataSensitivity ?? 'non_sensitive',
    unreadable: input.unreadable ?? null,
    createdAt: at,
    updatedAt: at,
    archivedAt: null,
    formula,
    generate: createGenerator(formula, { ...context, property: input.name, options: values }),
  }
}

/** The same definition with other values; one that has none gets the values that suit it. Every round draws others. */
export function recalculateProperty(property: Property, context: PropertyContext, round: number): Property {
  const formula = property.formula === 'none' ? usualFormula(property) : property.formula
  const options = property.options.map(({ value }) => value)
  return { ...property, formula, generate: createGenerator(formula, { ...context, seed: context.seed + round * 1_000_003, property: property.name, options }) }
}

/** Applies changes to a definition. Generated values stay what they were: they belong to the records. */
export function changeProperty(property: Property, changes: Partial<PropertyInput>, at: number): Property {
  const { options, filled: _, name: __, ...rest } = changes
  const fieldType = changes.type && !changes.fieldType ? fieldTypes[changes.type] : undefined
  if (changes.type && !(changes.type in fieldTypes)) throw new Error(`not a property type: ${changes.type}`)
  return { ...property, ...rest, ...(fieldType && { fieldType }), ...(options && { options: createOptions(options) }), updatedAt: at }
}

function createOptions(options: NonNullable<PropertyInput['options']>): PropertyOption[] {
  return options.map((option, displayOrder) => {
    const { value, label = value, hidden = false } = typeof option === 'string' ? { value: option } : option
    return { label, value, displayOrder, hidden }
  })
}

/**
 * HubSpot's own properties, written one a line: `name | label | type/fieldType | formula | options | marks`.
 * Options are `value=Label` or `value`, by commas. Marks: unique, hidden, calculated, readonly, owner, sensitive.
 */
export function parseProperties(lines: string, context: PropertyContext, at: number, hubspotDefined = true): Property[] {
  return lines.split('\n').filter((line) => line.trim()).map((line) => {
    const [name = '', label = '', types = '', formula = 'none', choices = '', marks = ''] = line.split('|').map((cell) => cell.trim())
    const [type = 'string', fieldType] = types.split('/')
    const options = choices ? choices.split(',').map((choice) => {
      const [value = '', optionLabel = value] = choice.trim().split('=')
      return { value, label: optionLabel }
    }) : []
    const has = (mark: string) => marks.split(' ').includes(mark)
    const property = createProperty({
      name, label, type, options,
      ...(fieldType && { fieldType }),
      groupName: name.startsWith('hs_analytics_') ? 'analyticsinformation' : context.group,
      hasUniqueValue: has('unique'),
      hidden: has('hidden'),
      calculated: has('calculated'),
      readOnlyValue: has('readonly') || has('calculated'),
      referencedObjectType: has('owner') ? 'OWNER' : null,
      dataSensitivity: has('sensitive') ? 'sensitive' : 'non_sensitive',
    }, context, at)
    const values = options.map((option) => option.value)
    return { ...property, hubspotDefined, formula, generate: createGenerator(formula, { ...context, property: name, options: values }) }
  })
}

const extraKinds: readonly Omit<PropertyInput, 'name'>[] = [
  { type: 'string' },
  { type: 'number' },
  { type: 'enumeration', options: ['alpha', 'beta', 'gamma', 'delta'] },
  { type: 'datetime' },
  { type: 'string', fieldType: 'textarea' },
  { type: 'bool' },
  { type: 'enumeration', fieldType: 'checkbox', options: ['red', 'green', 'blue', 'ultra violet'] },
  { type: 'date' },
  { type: 'string' },
  { type: 'phone_number' },
]

/** Custom properties of mixed types to widen an object with: `extra_001`, `extra_002`, … from a number on. */
export function extraProperties(first: number, count: number): PropertyInput[] {
  return Array.from({ length: count }, (_, at) => {
    const name = `extra_${String(first + at).padStart(3, '0')}`
    return { name, label: name.replace('_', ' '), filled: true, ...extraKinds[(first + at) % extraKinds.length]! }
  })
}
