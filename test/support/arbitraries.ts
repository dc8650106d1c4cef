import fc from 'fast-check'
import type { Fault, Settings, Values } from '../../src/sandbox/index.ts'

/** The objects of every scenario, with the properties that are mirrored; edits write all kinds of them. */
export const OBJECTS = {
  contacts: ['firstname', 'lastname', 'lifecyclestage', 'hs_email_open', 'hs_email_optout', 'hs_buying_role', 'hs_latest_source_timestamp'],
  deals: ['dealname', 'amount', 'dealstage', 'closedate'],
  vehicle: ['vin', 'make', 'model_year', 'features', 'price', 'electric', 'purchased_on', 'last_service_at', 'notes'],
} as const satisfies Record<string, readonly string[]>

/** A mirrored object of a scenario. */
export type ObjectName = keyof typeof OBJECTS

/** The pairs of objects whose associations are mirrored, where a scenario has both. */
export const PAIRS = [['contacts', 'contacts'], ['deals', 'contacts'], ['contacts', 'deals']] as const satisfies readonly (readonly [ObjectName, ObjectName])[]

/** The pairs of a scenario. */
export const pairsOf = (counts: Scenario['counts']) => PAIRS.filter(([from, to]) => counts[from] !== undefined && counts[to] !== undefined)

/** One thing that happens, and how many turns the workers then have. `pick` chooses among what is there at that time. */
export type Command = { turns: number } & (
  | { do: 'create'; object: ObjectName; count: number; isLow: boolean; values: Values; lag: number }
  | { do: 'edit'; object: ObjectName; pick: number; count: number; values: Values; lag: number }
  | { do: 'recalculate'; object: ObjectName; pick: number; values: Values }
  | { do: 'archive' | 'purge'; object: ObjectName; pick: number; count: number; lag: number }
  | { do: 'restore' | 'merge'; object: ObjectName; pick: number; lag: number }
  | { do: 'associate' | 'dissociate'; pair: number; pick: number; isLabelled: boolean }
  | { do: 'label'; pair: number; pick: number }
  /** The property's type changes in HubSpot. */
  | { do: 'retype'; object: ObjectName; pick: number; type: string }
  /** A property is made; archived with its values; brought back; gets another label or other options. */
  | { do: 'define'; object: ObjectName; pick: number; type: string }
  | { do: 'archive property' | 'restore property' | 'describe' | 'pipeline'; object: ObjectName; pick: number }
  | { do: 'owner'; pick: number }
  | { do: 'refresh'; object: ObjectName; pick: number; count: number }
  /** A query of a live table that names these records. */
  | { do: 'live'; object: ObjectName; pick: number; count: number }
  /** HubSpot, or who took it for HubSpot's word, says that something happened to records: true or not, late or not. */
  | { do: 'webhook'; object: ObjectName; pick: number; count: number; verb: string; lateMs: number }
  | { do: 'forget'; object: ObjectName; pick: number }
  | { do: 'resync' | 'sync' | 'pause' | 'resume'; object: ObjectName }
  | { do: 'select' | 'rename'; object: ObjectName; pick: number }
  /** It is no longer mirrored, and its table stays; or it is mirrored again. */
  | { do: 'toggle'; object: ObjectName }
  | { do: 'toggle pair'; pair: number }
  /** HubSpot refuses to show a property, or shows it again. */
  | { do: 'refuse'; object: ObjectName; pick: number; how: 'named' | 'unnamed' | null }
  /** The database's clock is set; HubSpot's goes on. */
  | { do: 'jump'; ms: number }
  | { do: 'sweep' }
  | { do: 'beat' }
  | { do: 'lock'; object: ObjectName; pick: number; count: number }
  | { do: 'unlock' }
  | { do: 'fault'; fault: Fault; times: number; kind?: 'list' | 'search' | 'batch read' }
  /** Reads by id are answered by a copy that is behind, or no longer. */
  | { do: 'behind'; ms: number }
  | { do: 'lose'; pick: number }
  | { do: 'kill' | 'freeze'; worker: number }
  | { do: 'thaw' }
  | { do: 'advance'; ms: number }
  /** Faults end, everyone goes on, time passes, and the mirror must be right. */
  | { do: 'check' }
)

/** A HubSpot, its records, and what happens to it and to the workers. */
export type Scenario = {
  /** Draws the order of everything that is under way at once. */
  order: number
  /** How many calls are let go at a time: 1 makes a run repeatable to the letter, more makes transactions meet. */
  parallel: number
  /** Share of calls and answers that are overtaken by others. */
  slow: number
  /** How many records of each object most of the edits go to. */
  focus: number
  /** Records a list page and a search page hold at most. */
  listPage: number
  searchPage: number
  /** In how many parts an object is read whole, at most. */
  parts: number
  /** Requests in ten seconds. */
  burst: number
  /** Whether hits of the last minutes come in any order. */
  isDisordered: boolean
  /** Whether the first loads are over before anything happens. */
  isLoaded: boolean
  /** Whether all properties of the custom object are mirrored, those to come too. */
  isAll: boolean
  /** What happens to rows of records that are gone. */
  onDelete: 'delete' | 'mark'
  /** Records at first; an object that is left out is not tracked. */
  counts: Partial<Record<ObjectName, number>>
  settings: Partial<Settings>
  commands: readonly Command[]
}

/** Whether a full read of this scenario is an audit, and deletes nothing before someone says that it may. No draw of its own: seeds keep their meaning. */
export const isGuarded = ({ order }: Pick<Scenario, 'order'>) => order % 3 === 0

const object = fc.oneof({ weight: 6, arbitrary: fc.constant<ObjectName>('contacts') }, { weight: 1, arbitrary: fc.constantFrom<ObjectName>('deals', 'vehicle') })
/** Definitions change wherever they may. */
const typedObject = fc.constantFrom<ObjectName>('contacts', 'deals', 'vehicle')
const type = fc.constantFrom('string', 'number', 'bool', 'date', 'datetime', 'enumeration')
const pick = fc.nat({ max: 1_000_000 })
/** Search lag in ms: none, seconds, or minutes below the widest settle window. */
const lag = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 200, max: 20_000 }) },
  { weight: 3, arbitrary: fc.integer({ min: 60_000, max: 50 * 60_000 }) },
)

const number = fc.constantFrom('0', '-3', '12.50', '12.5', '1e3', '007', '99999999999999999999.000000001', '', null)
const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }).filter((value) => value.isWellFormed() && !value.includes('\0')), fc.constant(''), fc.constant(null))
const flag = fc.constantFrom('true', 'false', '', null)
const list = fc.constantFrom('BLOCKER', 'BLOCKER;CHAMPION', 'heated seats;abs;gps', '', null)
const time = fc.constantFrom('2025-01-31T23:59:59.999Z', '2025-02-01T00:00:00Z', '1700000000123', '', null)
const date = fc.constantFrom('2024-02-29', '1999-12-31', '', null)
/** What a column cannot hold. */
const odd = fc.constantFrom('n/a', 'yesterday', '0x1F', 'NaN', '2024-02-30')

const typed: Readonly<Record<ObjectName, Readonly<Record<string, fc.Arbitrary<string | null>>>>> = {
  contacts: { lastname: text, hs_email_open: number, hs_email_optout: flag, hs_buying_role: list, hs_latest_source_timestamp: time },
  deals: { amount: number, closedate: time },
  vehicle: { notes: text, model_year: number, features: list, price: number, electric: flag, purchased_on: date, last_service_at: time },
}

const numeric: Readonly<Record<ObjectName, string>> = { contacts: 'hs_email_open', deals: 'amount', vehicle: 'price' }

/** Some typed values; now and then one that does not fit. Every write also gets a text of its own, so that an old row shows. */
function values(name: ObjectName): fc.Arbitrary<Values> {
  const some = fc.record({ ...typed[name] }, { requiredKeys: [] }).map((chosen): Values => chosen as Values)
  return fc.oneof(
    { weight: 9, arbitrary: some },
    { weight: 1, arbitrary: fc.tuple(some, odd).map(([fine, value]) => ({ ...fine, [numeric[name]]: value })) },
  )
}

/** A command about an object, with values for it. */
const about = <T extends object>(more: (name: ObjectName) => fc.Arbitrary<T>) =>
  object.chain((name) => more(name).map((rest) => ({ ...rest, object: name })))

const fault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<Fault>({ type: '429', policy: 'burst' }, { type: '429', policy: 'search' }, { type: '429', policy: 'secondly' }) },
  { weight: 6, arbitrary: fc.constantFrom<Fault>({ type: 'reset' }, { type: 'reset body' }, { type: 'torn' }, { type: 'short' }) },
  {
    weight: 6,
    arbitrary: fc.constantFrom<Fault>(
      { type: '500' }, { type: '504' }, { type: '423' },
      { type: 'answer', status: 502, body: '<html><body>Bad Gateway</body></html>', headers: { 'content-type': 'text/html' } },
      { type: 'answer', status: 503, body: '', headers: { 'retry-after': '7' } },
      // A proxy's page with a status of success.
      { type: 'answer', status: 200, body: '<html>sign in</html>', headers: { 'content-type': 'text/html' } },
    ),
  },
  { weight: 2, arbitrary: fc.constantFrom<Fault>({ type: '401' }, { type: '403' }, { type: '477', retryAfter: 600 }) },
)

/** Pages that are not as they should be; what a list leaves out, nothing but the next full read tells. */
const oddPage = fc.oneof(
  fc.record({ fault: fc.constantFrom<Fault>({ type: 'duplicates' }, { type: 'incomplete' }, { type: 'lacking' }), kind: fc.constantFrom('list' as const, 'batch read' as const) }),
  fc.constant({ fault: { type: 'duplicates' as const }, kind: 'search' as const }),
  fc.record({ fault: fc.constant<Fault>({ type: 'missing' }), kind: fc.constantFrom('search' as const, 'batch read' as const) }),
)

const one = (weight: number, arbitrary: fc.Arbitrary<unknown>) => ({ weight, arbitrary: arbitrary as fc.Arbitrary<Command> })
const act = <T extends Command['do']>(name: T) => fc.constant(name)
const turns = fc.oneof({ weight: 6, arbitrary: fc.nat({ max: 3 }) }, { weight: 3, arbitrary: fc.nat({ max: 12 }) }, { weight: 1, arbitrary: fc.nat({ max: 40 }) })

const VERBS = ['propertyChange', 'propertyChange', 'creation', 'deletion', 'restore', 'merge', 'associationChange', 'privacyDeletion'] as const

/** Something that happens. `biggest` is the most records that one bulk edit changes. */
function command(biggest: number): fc.Arbitrary<Command> {
  const many = fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 2, arbitrary: fc.integer({ min: 2, max: 8 }) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: biggest }) })
  const few = fc.integer({ min: 1, max: 3 })
  return fc
    .tuple(
      turns,
      fc.oneof(
        one(40, fc.constant({ do: 'check' })),
        one(260, about((name) => fc.record({ do: act('edit'), pick, count: many, values: values(name), lag }))),
        one(40, about((name) => fc.record({ do: act('create'), count: few, isLow: fc.boolean(), values: values(name), lag }))),
        one(20, about((name) => fc.record({ do: act('recalculate'), pick, values: values(name) }))),
        one(80, fc.record({ do: act('archive'), object, pick, count: few, lag })),
        one(50, fc.record({ do: act('restore'), object, pick, lag })),
        one(25, fc.record({ do: act('merge'), object, pick, lag })),
        one(15, fc.record({ do: act('purge'), object, pick, count: few, lag })),
        one(60, fc.record({ do: act('associate'), pair: fc.nat({ max: 2 }), pick, isLabelled: fc.boolean() })),
        one(30, fc.record({ do: act('dissociate'), pair: fc.nat({ max: 2 }), pick, isLabelled: fc.boolean() })),
        one(6, fc.record({ do: act('label'), pair: fc.nat({ max: 2 }), pick })),
        one(8, fc.record({ do: act('retype'), object, pick, type })),
        one(10, fc.record({ do: act('define'), object: typedObject, pick, type })),
        one(8, fc.record({ do: act('archive property'), object: typedObject, pick })),
        one(12, fc.record({ do: act('restore property'), object: typedObject, pick })),
        one(8, fc.record({ do: act('describe'), object: typedObject, pick })),
        one(6, fc.record({ do: act('pipeline'), object: typedObject, pick })),
        one(6, fc.record({ do: act('owner'), pick })),
        one(50, fc.record({ do: act('refresh'), object, pick, count: few })),
        one(60, fc.record({ do: act('live'), object, pick, count: few })),
        one(60, fc.record({ do: act('webhook'), object, pick, count: few, verb: fc.constantFrom(...VERBS), lateMs: fc.integer({ min: -2_000, max: 5 * 60_000 }) })),
        one(10, fc.record({ do: act('forget'), object, pick })),
        one(80, fc.record({ do: act('resync'), object })),
        one(30, fc.record({ do: act('sync'), object })),
        one(4, fc.record({ do: act('pause'), object })),
        one(12, fc.record({ do: act('select'), object, pick })),
        one(8, fc.record({ do: act('rename'), object, pick })),
        one(8, fc.record({ do: act('toggle'), object })),
        one(8, fc.record({ do: act('toggle pair'), pair: fc.nat({ max: 2 }) })),
        one(10, fc.record({ do: act('refuse'), object, pick, how: fc.constantFrom('named', 'unnamed', null) })),
        one(8, fc.record({ do: act('jump'), ms: fc.integer({ min: -10 * 60_000, max: 10 * 60_000 }) })),
        one(20, fc.record({ do: act('resume'), object })),
        one(20, fc.record({ do: fc.constantFrom('sweep', 'beat') })),
        one(20, fc.record({ do: act('lock'), object, pick, count: few })),
        one(20, fc.record({ do: act('unlock') })),
        one(30, fc.record({ do: act('fault'), fault, times: fc.constantFrom(1, 1, 2) })),
        one(20, fc.record({ do: act('fault'), fault, times: fc.constantFrom(1, 1, 2), kind: fc.constantFrom('list', 'search', 'batch read') })),
        one(1, fc.constant({ do: 'fault', fault: { type: '429', policy: 'daily' }, times: 1 })),
        one(20, oddPage.map((odd) => ({ do: 'fault', times: 1, ...odd }))),
        one(20, fc.record({ do: act('behind'), ms: fc.oneof(fc.constant(0), fc.integer({ min: 1_000, max: 60_000 }), fc.integer({ min: 60_000, max: 8 * 60_000 })) })),
        one(15, fc.record({ do: act('lose'), pick })),
        one(30, fc.record({ do: fc.constantFrom('kill', 'freeze'), worker: fc.nat({ max: 1 }) })),
        one(30, fc.record({ do: act('thaw') })),
        one(80, fc.record({ do: act('advance'), ms: fc.oneof(fc.nat({ max: 5_000 }), fc.nat({ max: 60_000 }), fc.nat({ max: 20 * 60_000 })) })),
      ),
    )
    .map(([left, what]) => ({ ...what, turns: left }))
}

const settings: fc.Arbitrary<Partial<Settings>> = fc.record({
  shortPages: fc.constantFrom(0, 0, 0.5),
  shuffleBatch: fc.boolean(),
  missingStatus: fc.constantFrom(200, 207),
  zeroMillis: fc.constantFrom('omit', 'keep'),
  restoreBumps: fc.boolean(),
  archiveBumps: fc.boolean(),
  mergeMakesNewId: fc.constantFrom<Settings['mergeMakesNewId']>('as HubSpot', true, false),
  mergedRead: fc.constantFrom<Settings['mergedRead']>('survivor', 'missing'),
  mergedArchived: fc.boolean(),
  associationPage: fc.constantFrom(1, 2, 500),
  shuffleAssociations: fc.boolean(),
  associationAfter: fc.constantFrom('id', 'count'),
  pastLastEdge: fc.constantFrom<Settings['pastLastEdge']>('error', 'empty'),
  noAssociations: fc.constantFrom<Settings['noAssociations']>('error', 'empty'),
  emptyKeys: fc.constantFrom('null', 'absent'),
  after: fc.constantFrom('plain', 'base64'),
  searchValues: fc.constantFrom('index', 'store'),
})

/** A scenario: mostly small accounts in small pages, where little is needed to make things meet; often read in parts; now and then real pages and ties beyond them. */
export const scenario: fc.Arbitrary<Scenario> = fc
  .constantFrom('parts', 'small', 'large', 'small', 'parts', 'small')
  .map((kind) => ({ isLarge: kind === 'large', isInParts: kind === 'parts' }))
  .chain(({ isLarge, isInParts }) =>
    fc.record<Scenario>({
      order: fc.nat(),
      parallel: fc.constantFrom(1, 1, 3),
      slow: fc.constantFrom(0, 0.2, 0.4, 0.6),
      focus: fc.integer({ min: 1, max: 4 }),
      listPage: isLarge ? fc.constant(100) : fc.integer({ min: 2, max: isInParts ? 4 : 9 }),
      searchPage: isLarge ? fc.constant(200) : fc.integer({ min: 2, max: 7 }),
      parts: isInParts ? fc.integer({ min: 2, max: 5 }) : fc.constantFrom(1, 4),
      burst: fc.constantFrom(100_000_000, 100_000_000, 30),
      isDisordered: fc.boolean(),
      isLoaded: fc.boolean(),
      isAll: fc.boolean(),
      onDelete: fc.constantFrom('delete', 'mark'),
      counts: isLarge
        ? fc.record({ contacts: fc.integer({ min: 230, max: 330 }), deals: fc.integer({ min: 0, max: 120 }) })
        : isInParts ? fc.record({ contacts: fc.integer({ min: 15, max: 40 }) })
        : fc.oneof(
            { weight: 3, arbitrary: fc.record({ contacts: fc.integer({ min: 1, max: 12 }) }) },
            { weight: 2, arbitrary: fc.record({ contacts: fc.integer({ min: 1, max: 12 }), deals: fc.nat({ max: 5 }), vehicle: fc.nat({ max: 3 }) }) },
          ),
      settings: isInParts ? settings.map((drawn) => ({ ...drawn, after: 'plain' as const })) : settings,
      commands: fc.array(command(isLarge ? 300 : 14), { minLength: 10, maxLength: 140, size: 'max' }),
    }),
  )
