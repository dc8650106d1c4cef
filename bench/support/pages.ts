/** A property of a made-up object: its name and HubSpot's type of it. */
export type MadeProperty = { name: string; type: 'string' | 'enumeration' | 'number' | 'datetime' | 'bool' }

/** Of 20 properties: 9 texts, 4 options, 3 numbers, 2 times, 2 truths. */
const MIX = ['string', 'enumeration', 'string', 'number', 'string', 'datetime', 'string', 'enumeration', 'bool', 'string',
  'number', 'string', 'enumeration', 'string', 'datetime', 'string', 'number', 'enumeration', 'bool', 'string'] as const

/** Share of properties that have a value: wide objects are emptier. */
const FILL = new Map([[30, 0.6], [100, 0.4], [300, 0.3]])

/** Definitions of so many properties, types as accounts have them. */
export function makeProperties(count: number): MadeProperty[] {
  return Array.from({ length: count }, (_, i) => {
    const type = MIX[i % MIX.length]!
    return { name: `${type.slice(0, 4)}_prop_${String(i).padStart(3, '0')}`, type }
  })
}

/** The answer of HubSpot's properties endpoint. */
export function propertiesAnswer(properties: readonly MadeProperty[]): Buffer {
  const results = properties.map(({ name, type }) => ({ name, label: name, type, fieldType: type === 'enumeration' ? 'select' : 'text', options: [] }))
  return Buffer.from(JSON.stringify({ results }))
}

/** A page of 100 records as HubSpot lists them, unset values as null, ids from `firstId` on. */
export function makePage(properties: readonly MadeProperty[], firstId: number, isLast = false): Buffer {
  const fill = FILL.get(properties.length) ?? 0.4
  const results = Array.from({ length: 100 }, (_, i) => {
    const id = firstId + i
    const at = new Date(1_700_000_000_000 + id * 7_919).toISOString()
    const values = properties.map(({ name, type }, n) => [name, roll(id, n) < fill ? valueOf(type, id, n) : null])
    return { id: String(id), properties: Object.fromEntries(values) as object, createdAt: at, updatedAt: at, archived: false, url: `https://app.hubspot.com/contacts/1/record/0-3/${id}` }
  })
  const paging = isLast ? {} : { paging: { next: { after: String(firstId + 100), link: `https://api.hubapi.com/crm/objects?after=${firstId + 100}` } } }
  return Buffer.from(JSON.stringify({ results, ...paging }))
}

const WORDS = 'invoice follow up asked budget Müller sent the next week approved over Köln office renewal 明日 call back'.split(' ')

function valueOf(type: MadeProperty['type'], id: number, n: number): string {
  const chance = roll(id, n + 1_000)
  switch (type) {
    case 'string':
      return Array.from({ length: 1 + Math.floor(chance * 5) }, (_, i) => WORDS[Math.floor(roll(id + i, n) * WORDS.length)]).join(' ')
    case 'enumeration':
      return `option_${Math.floor(chance * 12)}`
    case 'number':
      return (chance * 100_000).toFixed(n % 3)
    case 'datetime':
      return new Date(1_500_000_000_000 + Math.floor(chance * 2e11)).toISOString()
    case 'bool':
      return chance < 0.5 ? 'true' : 'false'
  }
}

/** A number from 0 to 1 that depends on both alone. */
function roll(id: number, n: number): number {
  let mixed = Math.imul(id ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(n + 1, 0xc2b2ae35)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b)
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 4_294_967_296
}
