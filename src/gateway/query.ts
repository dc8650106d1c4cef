import { type CopyStmt, type ExplainStmt, loadModule, type Node, parseSync, SqlError } from 'libpg-query'
import { scalarTerm, type Term, typeOf } from './query/ids.ts'
import { measure } from './query/measure.ts'
import { QUERIES, Reading, relationOf } from './query/reading.ts'
import { definedBy, isSettled } from './query/settled.ts'
import { hasStar } from './query/stars.ts'

/** A relation as a statement names it; without a schema the search path tells. */
export type Relation = { schema: string | undefined; name: string }

/** One place where a statement reads a relation. */
export type Touch = {
  relation: Relation
  /** By column: lists of values, of each of which the column must have one for a row to matter. None: any row may. */
  keys: ReadonlyMap<string, readonly (readonly Term[])[]>
  /** A materialized view that is made anew: what it is defined by is read. */
  isDefinition?: true
  /** Whole rows of it are read as values, and so columns that are not named, or they are given other names by their position; `select *` by itself is not meant. */
  isWhole?: true
  /** What stands after its name and a dot: columns, or functions that take whole rows. */
  fields?: readonly string[]
}

/** What one statement does, as far as its text tells. */
export type Act = {
  touches: readonly Touch[]
  /** Relations that it writes. */
  targets: readonly { relation: Relation; verb: string }[]
  /** What `prepare` gives a name to: for `execute` in the same text. */
  prepares?: { name: string } & Prepared
  /** The relation that it makes; of a view, what that reads. */
  defines?: { relation: Relation; view?: Act['touches'] }
  /** What names mean, who may read and what is in the database may be otherwise after it. */
  unsettles?: true
  /** `execute`: the name, and the arguments; an argument that is not known before it runs is undefined. `isStored`: what it shows is kept. */
  executes?: { name: string; args: readonly (Term | undefined)[]; isStored?: true }
}

/** What a statement that has a name does when it is executed, and its parameters' types, as far as it says. */
export type Prepared = Pick<Act, 'touches' | 'targets' | 'unsettles'> & { types?: readonly number[] }

/** The version of Postgres whose grammar is read here. */
export const GRAMMAR = 18

/** Loads the parser: once, before `acts`. */
export const loadParser = loadModule

/**
 * What each statement of a text does; undefined where Postgres' grammar cannot read it: the server will say so. TooComplex for
 * one that is too long. Any other error leaves the parser unfit: what it says from then on may be wrong.
 */
export function acts(text: string): readonly Act[] | undefined {
  const { short, mayRead } = measure(text)
  if (short === undefined && mayRead) throw new TooComplex()
  if (short === undefined) return [UNREAD]
  if (short === '') return []
  try {
    return (parseSync(short).stmts ?? []).map(({ stmt }) => (stmt === undefined ? NOTHING : actOf(stmt)))
  } catch (error) {
    if (error instanceof SqlError && !error.message.startsWith('out of memory')) return undefined
    throw error
  }
}

/** A statement that cannot be looked into. */
export class TooComplex extends Error {}

const NOTHING: Act = { touches: [], targets: [] }
/** Of a text that is too long to be looked into, and reads no relation. */
const UNREAD: Act = { ...NOTHING, unsettles: true }

function actOf(node: Node): Act {
  const defined = definedBy(node)
  return {
    ...act(node),
    ...(defined && { defines: { relation: relationOf(defined.relation), ...(defined.view && { view: act(defined.view, defined.isRenamed === true && hasStar(defined.view)).touches }) } }),
    ...(!isSettled(node) && { unsettles: true }),
  }
}

/** `isStored`: what it shows goes into something else, by position. */
function act(node: Node, isStored = false): Act {
  if ('ExplainStmt' in node) return isRun(node.ExplainStmt) && node.ExplainStmt.query ? act(node.ExplainStmt.query) : NOTHING
  if ('PrepareStmt' in node) {
    const { name = '', query, argtypes = [] } = node.PrepareStmt
    const types = argtypes.map((type) => ('TypeName' in type ? typeOf(type.TypeName) : -1))
    return query === undefined ? NOTHING : { ...NOTHING, prepares: { name, ...act(query), ...(types.length > 0 && { types }) } }
  }
  if ('ExecuteStmt' in node) return { ...NOTHING, executes: { name: node.ExecuteStmt.name ?? '', args: (node.ExecuteStmt.params ?? []).map(scalarTerm), ...(isStored && { isStored }) } }
  if ('CreateTableAsStmt' in node) return node.CreateTableAsStmt.query === undefined ? NOTHING : act(node.CreateTableAsStmt.query, isStars(node.CreateTableAsStmt.query))
  if ('DeclareCursorStmt' in node) return node.DeclareCursorStmt.query === undefined ? NOTHING : act(node.DeclareCursorStmt.query)
  if ('CopyStmt' in node) return copy(node.CopyStmt)
  if ('TruncateStmt' in node) {
    const named = (node.TruncateStmt.relations ?? []).flatMap((one) => ('RangeVar' in one ? [relationOf(one.RangeVar)] : []))
    return { touches: [], targets: named.map((relation) => ({ relation, verb: 'truncated' })) }
  }
  if ('RefreshMatViewStmt' in node) {
    const { relation, skipData } = node.RefreshMatViewStmt
    return relation === undefined || skipData ? NOTHING : { ...NOTHING, touches: [{ relation: relationOf(relation), keys: new Map(), isDefinition: true }] }
  }
  const [kind = ''] = Object.keys(node)
  return kind === 'CallStmt' || QUERIES.has(kind) ? new Reading(isStored).of(node) : NOTHING
}

/** `execute` may show anything. */
const isStars = (query: Node) => 'ExecuteStmt' in query || hasStar(query)

function copy({ relation, query, attlist = [], is_from: isFrom }: CopyStmt): Act {
  if (query !== undefined) return act(query, isStars(query))
  if (relation === undefined) return NOTHING
  if (isFrom) return { touches: [], targets: [{ relation: relationOf(relation), verb: 'written' }] }
  return { ...NOTHING, touches: [{ relation: relationOf(relation), keys: new Map(), ...(attlist.length === 0 && { isWhole: true }) }] }
}

function isRun({ options = [] }: ExplainStmt): boolean {
  return options.some((option) => {
    if (!('DefElem' in option) || option.DefElem.defname !== 'analyze') return false
    const said = JSON.stringify(option.DefElem.arg ?? true).toLowerCase()
    return !/"(false|off|0)"|"ival":0\b|"ival":\{\}|"integer":\{\}|"boolval":\{\}|"boolean":\{\}/.test(said)
  })
}
