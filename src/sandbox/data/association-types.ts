import type { ObjectType } from './object-types.ts'

/** The types of a pair of objects that HubSpot brings: the unlabelled one, and Primary where the first object has a primary one of the second. */
export interface PairTypes {
  readonly unlabelled: readonly [there: number, back: number]
  readonly primary: readonly [there: number, back: number] | null
}

/** Pairs whose ids HubSpot documents: `from to unlabelled/back`, and `primary/back` where a record has one primary other. */
const documented = `
contacts companies 279/280 1/2
contacts deals 4/3
contacts tickets 15/16
contacts contacts 449/449
deals companies 341/342 5/6
deals tickets 27/28
deals line_items 19/20
deals quotes 63/64
deals deals 451/451
tickets companies 339/340 26/25
tickets tickets 452/452
companies companies 450/450
contacts calls 193/194
contacts emails 197/198
contacts meetings 199/200
contacts notes 201/202
contacts tasks 203/204
companies calls 181/182
companies emails 185/186
companies meetings 187/188
companies notes 189/190
companies tasks 191/192
deals calls 205/206
deals emails 209/210
deals meetings 211/212
deals notes 213/214
deals tasks 215/216
tickets calls 219/220
tickets emails 223/224
tickets meetings 225/226
tickets notes 227/228
tickets tasks 229/230
`

const known = new Map<string, PairTypes>(
  documented.trim().split('\n').map((line) => {
    const [from = '', to = '', unlabelled = '', primary] = line.split(' ')
    return [`${from} ${to}`, { unlabelled: ids(unlabelled), primary: primary === undefined ? null : ids(primary) }]
  }),
)

function ids(text: string): [number, number] {
  const [there, back] = text.split('/').map(Number)
  return [there!, back!]
}

/** Whether an account's own pair of objects goes by these two in this order. */
export function isDocumented(from: ObjectType, to: ObjectType): boolean {
  return known.has(`${from.name} ${to.name}`)
}

/**
 * What HubSpot brings for a pair; ids that are not documented are made of the places of both objects among the account's,
 * so that they do not depend on which pair was asked for first.
 */
export function pairTypes(from: ObjectType, to: ObjectType, places: readonly [from: number, to: number]): PairTypes {
  const [a, b] = places
  const made = (one: number, other: number) => 1_000 + one * 1_000 + other
  return known.get(`${from.name} ${to.name}`) ?? { unlabelled: [made(a, b), made(b, a)], primary: null }
}
