/** Milliseconds: a constant, or a range from which each draw is taken evenly by the seed. */
export type Span = number | readonly [number, number]

/**
 * Everything about a sandbox that can be changed while it runs, by `store.configure` or `PATCH /settings`.
 * The second half are facts about HubSpot that nobody has settled; docs/sandbox.md lists them with their reasons.
 */
export interface Settings {
  /** Whether the three budgets are enforced. Off: nothing is refused, headers still count. */
  limits: boolean
  /** Requests per token in `burstWindow`; search is not counted. 100 free, 190 professional, 250 with the pack, 110 OAuth. */
  burst: number
  /** Length of the burst window, ms, rolling, by arrival. */
  burstWindow: number
  /** Searches per account in `searchWindow`, whatever the token. */
  search: number
  /** Length of the search window, ms, rolling, by arrival. */
  searchWindow: number
  /** Requests per account and day; the day ends at midnight of `timeZone`, by the sandbox's clock. */
  daily: number
  /** What moves the two rolling windows: the machine's monotonic clock, or the sandbox's own. */
  limitClock: 'monotonic' | 'sandbox'
  /** How long after a write the search index shows it, ms of the sandbox's clock, drawn for each record and write. */
  lag: Span
  /** Time from request to answer, ms, drawn for each call. */
  latency: Span
  /** Share of a call's latency that passes before it arrives and is counted (0 to 1): the network's way up. */
  uplink: number
  /** Whether answers are compressed when the request accepts gzip. */
  gzip: boolean
  /** Longest path and query, in characters; beyond it 414. */
  maxUrl: number
  /** The account's time zone, as account-info tells it. */
  timeZone: string
  /** Where the account is hosted; only the `url` of records depends on it. */
  hosting: 'na1' | 'eu1'
  /** How many of the latest calls the log keeps. */
  callsKept: number

  /** Most results that one search gives away by paging; beyond it 400. */
  searchCap: number
  /** Longest body of a search, in characters; beyond it 400. */
  searchBodyMax: number
  /** Whether `searchBodyMax` counts the whole body, or its `query` alone. */
  searchBodyCounts: 'body' | 'query'
  /**
   * What a hit shows. The recorded answers: the index decides what is found, in which order and how many, and the store
   * what it holds, so that a hit may not fit its filter any more, and one archived since is counted and not shown.
   * `index`: hits as old as the index.
   */
  searchValues: 'store' | 'index'
  /** Whether archiving a record moves its modified date. */
  archiveBumps: boolean
  /** Whether restoring a record moves its modified date. */
  restoreBumps: boolean
  /** What an emptied property reads as, when it was emptied by null or by the empty string. */
  cleared: 'null' | 'empty' | 'as written'
  /** Whether an asked-for property without a value comes as null, or its key is missing. */
  emptyKeys: 'null' | 'absent'
  /** Whether times on a whole second are written without milliseconds. */
  zeroMillis: 'omit' | 'keep'
  /** What the list's `after` looks like: the id itself, or base64 of it (as for invoices in HubSpot's examples). */
  after: 'plain' | 'base64'
  /** Share of list pages that hold fewer records than asked for although more follow (0 to 1). */
  shortPages: number
  /** Whether a batch read's results come in another order than asked. */
  shuffleBatch: boolean
  /** Most associations of one record in an answer; further ones come by `after`. */
  associationPage: number
  /** What the `after` of associations is: the id that comes next, or how many came before, so that one that ends moves the others up. */
  associationAfter: 'id' | 'count'
  /** What a batch answers for a page behind a record's last association, as when those ended meanwhile: the error of having none, or an empty list. */
  pastLastEdge: 'error' | 'empty'
  /** What a batch answers for a record without associations: the error of having none, or an empty list of them. */
  noAssociations: 'error' | 'empty'
  /** Whether making and ending associations moves the modified dates of both records. */
  associationBumps: boolean
  /** Whether associations come in another order than by id. */
  shuffleAssociations: boolean
  /** The category of a custom object's own unlabelled types, fixed when a pair is first asked for. */
  customPairs: 'HUBSPOT_DEFINED' | 'USER_DEFINED'
  /** Whether batch reads of associations count in the burst window, or in the daily budget alone. */
  associationsCount: 'burst' | 'daily'
  /** Status of a batch read that lacks some ids: 207, or 200 with the same body. */
  missingStatus: 207 | 200
  /** Days until an archived record is gone for good. */
  archivedDays: number
  /** Object types (by name) whose archived list is refused with 400. */
  archivedList: readonly string[]
  /** Whether a merge makes a record with a new id: of contacts and companies alone, always, or never. */
  mergeMakesNewId: 'as HubSpot' | boolean
  /** How many lost ids one record may have; a merge beyond it is refused with 414. */
  mergesMax: number
  /** What a batch read answers for an id lost to a merge: the survivor, under its own id, or nothing. */
  mergedRead: 'survivor' | 'missing'
  /** Whether records lost to merges show in archived lists. */
  mergedArchived: boolean
  /** Whether a single GET of an archived record is 404 unless `archived=true` is asked. */
  archivedGet: 'hidden' | 'found'
  /** Whether custom objects are also found by their bare name. */
  customShortNames: boolean
  /** Whether refused calls count in the window that refused them. */
  countThrottled: boolean
  /** Whether the deprecated limit per second (a tenth of `burst`) refuses too. */
  bindSecondly: boolean
  /** The 429 body: with `policyName` and `errorType`, or with `category` alone. */
  throttleBody: 'policy' | 'category'
  /** Seconds for a Retry-After header on 429; null: none. */
  retryAfter: number | null
  /** Most owners a page may hold. */
  ownersMax: number
  /** What the schemas endpoint answers to an account without custom objects in its plan. */
  schemas: 'allowed' | 'empty' | 'forbidden'
  /** Seconds that an OAuth access token is good. */
  accessTokenSeconds: number
  /** What a renewal does to the refresh token: nothing; gives another, and the one before ends at once (strict), or once the new one is used (grace). */
  refreshRotation: 'never' | 'strict' | 'grace'
  /** Whether the access tokens of a revoked refresh token end with it. */
  revokeCascades: boolean
  /** Object types (by name) that were never activated: every call to them is refused. */
  inactive: readonly string[]

  /** Time from an event to the request that tells of it, ms of real time. */
  webhookDelay: Span
  /** Most events in one request; HubSpot sends up to 100. */
  webhookBatch: number
  /** Requests under way at once. */
  webhookConcurrency: number
  /** Whether events come in another order than they happened. */
  webhookShuffle: boolean
  /** Share of events that are delivered once more after they were taken (0 to 1). */
  webhookDuplicates: number
  /** Until the first repetition of what was not taken, ms; twice as long each time. Ten of them make most of a day. */
  webhookRetryDelay: Span
  /** Whether an association is told of from both ends, or from the end that was named first. */
  webhookEdges: 'both' | 'one'
  /** Whether a privacy deletion is told of as a deletion too. */
  webhookPrivacy: 'with deletion' | 'alone'
}

/** The settings of a sandbox nobody configured: HubSpot's own limits on a free account, a quiet network, a little search lag. */
export const defaultSettings: Settings = {
  limits: true,
  burst: 100,
  burstWindow: 10_000,
  search: 5,
  searchWindow: 1_000,
  daily: 250_000,
  limitClock: 'monotonic',
  lag: [500, 3_000],
  latency: 0,
  uplink: 0.2,
  gzip: true,
  maxUrl: 16_200,
  timeZone: 'US/Eastern',
  hosting: 'na1',
  callsKept: 1_000,
  searchCap: 10_000,
  searchBodyMax: 3_000,
  searchBodyCounts: 'body',
  searchValues: 'store',
  archiveBumps: false,
  restoreBumps: false,
  cleared: 'as written',
  emptyKeys: 'null',
  zeroMillis: 'omit',
  after: 'plain',
  shortPages: 0,
  shuffleBatch: true,
  associationPage: 500,
  associationAfter: 'id',
  pastLastEdge: 'error',
  noAssociations: 'error',
  associationBumps: false,
  shuffleAssociations: true,
  customPairs: 'HUBSPOT_DEFINED',
  associationsCount: 'burst',
  missingStatus: 207,
  archivedDays: 90,
  archivedList: [],
  mergeMakesNewId: 'as HubSpot',
  mergesMax: 250,
  mergedRead: 'survivor',
  mergedArchived: false,
  archivedGet: 'hidden',
  customShortNames: false,
  countThrottled: false,
  bindSecondly: false,
  throttleBody: 'policy',
  retryAfter: null,
  ownersMax: 500,
  schemas: 'allowed',
  accessTokenSeconds: 1_800,
  refreshRotation: 'never',
  revokeCascades: false,
  inactive: [],
  webhookDelay: 0,
  webhookBatch: 100,
  webhookConcurrency: 10,
  webhookShuffle: true,
  webhookDuplicates: 0,
  webhookRetryDelay: [30_000, 90_000],
  webhookEdges: 'both',
  webhookPrivacy: 'with deletion',
}

const choices: { readonly [K in keyof Settings]?: readonly unknown[] } = {
  limitClock: ['monotonic', 'sandbox'],
  hosting: ['na1', 'eu1'],
  searchBodyCounts: ['body', 'query'],
  searchValues: ['store', 'index'],
  cleared: ['null', 'empty', 'as written'],
  emptyKeys: ['null', 'absent'],
  zeroMillis: ['omit', 'keep'],
  after: ['plain', 'base64'],
  missingStatus: [207, 200],
  associationAfter: ['id', 'count'],
  pastLastEdge: ['error', 'empty'],
  noAssociations: ['error', 'empty'],
  customPairs: ['HUBSPOT_DEFINED', 'USER_DEFINED'],
  associationsCount: ['burst', 'daily'],
  mergeMakesNewId: ['as HubSpot', true, false],
  mergedRead: ['survivor', 'missing'],
  archivedGet: ['hidden', 'found'],
  throttleBody: ['policy', 'category'],
  refreshRotation: ['never', 'strict', 'grace'],
  schemas: ['allowed', 'empty', 'forbidden'],
  webhookEdges: ['both', 'one'],
  webhookPrivacy: ['with deletion', 'alone'],
}

/** Copies known settings with sound values into `settings`; throws, naming the setting, before it changes anything. */
export function applySettings(settings: Settings, changes: Partial<Settings>): void {
  for (const [name, value] of Object.entries(changes)) {
    const problem = settingProblem(name, value)
    if (problem) throw new Error(`setting ${name}: ${problem}`)
  }
  Object.assign(settings, changes)
}

function settingProblem(name: string, value: unknown): string | undefined {
  if (!Object.hasOwn(defaultSettings, name)) return `unknown; one of ${Object.keys(defaultSettings).join(', ')}`
  const key = name as keyof Settings
  const allowed = choices[key]
  if (allowed) return allowed.includes(value) ? undefined : `one of ${allowed.join(', ')}`
  if (key === 'lag' || key === 'latency' || key === 'webhookDelay' || key === 'webhookRetryDelay') return isSpan(value) ? undefined : 'milliseconds, or [least, most]'
  if (key === 'retryAfter' && value === null) return undefined
  if (key === 'timeZone') return isTimeZone(value) ? undefined : 'a time zone name'
  if (Array.isArray(defaultSettings[key])) return Array.isArray(value) ? undefined : 'a list of names'
  const type = key === 'retryAfter' ? 'number' : typeof defaultSettings[key]
  if (typeof value !== type) return `a ${type}`
  return typeof value === 'number' && !(value >= 0) ? 'not below 0' : undefined
}

/** Whether a value is a {@link Span}. */
export function isSpan(value: unknown): value is Span {
  if (typeof value === 'number') return value >= 0
  return Array.isArray(value) && value.length === 2 && value.every((ms) => typeof ms === 'number' && ms >= 0) && value[0] <= value[1]
}

function isTimeZone(value: unknown): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: String(value) })
    return typeof value === 'string'
  } catch {
    return false
  }
}
