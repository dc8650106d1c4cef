import { idsOf, type Param } from '../../src/gateway/query/ids.ts'
import { type Act, acts } from '../../src/gateway/query.ts'

/** A text's touches as `deals id=5,6` (the ids that matter) or `deals *` (any row), one a place. */
export function touched(text: string, params: readonly Param[] = []): string[] {
  return (acts(text) ?? [{ touches: [], targets: [] }]).flatMap(({ touches }) => shown(touches, params))
}

export function shown(touches: Act['touches'], params: readonly Param[]): string[] {
  return touches.map(({ relation, keys }) => {
    const known = [...keys].flatMap(([column, lists]) => {
      const ids = lists.map((list) => idsOf(list, params)).find((one) => one !== undefined)
      return ids === undefined ? [] : [`${column}=${ids.join()}`]
    })
    const name = relation.schema === 'hubspot' ? relation.name : `${relation.schema ?? '?'}.${relation.name}`
    return `${name} ${known.length === 0 ? '*' : known.join(' ')}`
  })
}

export const text = (value: string): NonNullable<Param> => ({ value: Buffer.from(value), isBinary: false })
export const binary = (...bytes: number[]): NonNullable<Param> => ({ value: Buffer.from(bytes), isBinary: true })
