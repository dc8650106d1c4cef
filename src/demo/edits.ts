import { sleep } from '../lib/time.ts'
import type { Stage } from './stage.ts'

/** A change made in HubSpot: a property's new value, or a record created. */
export type Edit = {
  object: string
  id: string
  /** Undefined: the record was created. */
  property?: string
  from?: string | null
  to?: string | null
  /** When HubSpot had it, by this machine's monotonic clock. */
  madeAt: number
}
/** An edit that is in Postgres, so many milliseconds after it was made. */
export type Arrival = { edit: Edit; ms: number }

/** The sandbox's control API. */
export type Control = {
  edit(object: string, id: string, properties: Record<string, string | null>): Promise<void>
  create(object: string): Promise<string>
  /** Every live record, as it stands. */
  dump(object: string): AsyncIterable<DumpedRecord>
}
/** A record as the sandbox's store holds it. */
export type DumpedRecord = { id: string; properties: Record<string, string | null>; createdAt: string; updatedAt: string }

/** Talks to the control API over HTTP, as anybody's test could. */
export function createControl(controlUrl: string): Control {
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(controlUrl + path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }
  return {
    async edit(object, id, properties) {
      await call('PATCH', `/records/${object}`, { ids: [id], properties })
    },
    async create(object) {
      const response = await call('POST', `/records/${object}`, { records: [{}], fill: true })
      const { ids } = (await response.json()) as { ids: string[] }
      return ids[0]!
    },
    async *dump(object) {
      const { body } = await call('GET', `/dump/${object}`)
      let rest = ''
      for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop()!
        for (const line of lines) yield JSON.parse(line) as DumpedRecord
      }
    },
  }
}

/** Properties that the demo changes, with values that read well. */
const CHANGES: Record<string, readonly (readonly [property: string, values: readonly (string | null)[]])[]> = {
  contacts: [
    ['lifecyclestage', ['lead', 'opportunity', 'customer']],
    ['jobtitle', ['CTO', 'Head of Data', 'Buyer', null]],
    ['city', ['Łódź', 'São Paulo', '東京', 'Zürich']],
  ],
  companies: [
    ['city', ['Berlin', 'Lyon', 'Kraków', 'Porto']],
    ['annualrevenue', ['250000', '1200000.5', null]],
  ],
  deals: [['amount', ['500', '5200', '9900.5', '12000']]],
  vehicle: [
    ['color', ['red', 'blue', 'silver', 'rosé']],
    ['features', ['abs;gps', 'abs;sun_roof;heated seats', 'gps']],
  ],
}

/** Changes records of each object in turn, every sixth of them a new one. */
export async function makeEdits({ db }: Stage, control: Control, objects: readonly string[], count: number): Promise<Edit[]> {
  const edits: Edit[] = []
  for (let i = 0; i < count; i += 1) {
    const object = objects[Math.floor(i + Math.random() * (count < 4 ? objects.length : 1)) % objects.length]!
    if (Math.random() < 1 / 6) {
      const id = await control.create(object)
      edits.push({ object, id, madeAt: performance.now() })
      continue
    }
    const [property, values] = pick(CHANGES[object]!)
    const { rows } = await db.pool.query<{ id: string; now: string | null }>(
      `select id, ${textOf(property)} as now from hubspot.${object} order by random() limit 1`,
    )
    const { id, now } = rows[0]!
    const to = pick(values.filter((value) => value !== now))
    // A record that is changed twice would hide its first change.
    if (edits.some((edit) => edit.object === object && edit.id === id)) continue
    await control.edit(object, id, { [property]: to })
    edits.push({ object, id, property, from: now, to, madeAt: performance.now() })
  }
  return edits
}

/** Edits in the order they arrive in Postgres; ends with the last, or when the time is over. */
export async function* arrivals({ db, signal }: Stage, edits: readonly Edit[], until: number): AsyncGenerator<Arrival> {
  let open = [...edits]
  while (open.length > 0 && performance.now() < until) {
    for (const group of Map.groupBy(open, ({ object, property }) => `${object} ${property ?? ''}`).values()) {
      const { object, property } = group[0]!
      const { rows } = await db.pool.query<{ n: string }>(
        `select e.n from unnest($1::bigint[], $2::text[]) with ordinality e (id, value, n) join hubspot.${object} r on r.id = e.id
         ${property === undefined ? '' : `where ${textOf(property)} is not distinct from e.value`}`,
        [group.map(({ id }) => id), group.map(({ to }) => to ?? null)],
      )
      const now = performance.now()
      for (const { n } of rows) {
        const edit = group[Number(n) - 1]!
        open = open.filter((one) => one !== edit)
        yield { edit, ms: now - edit.madeAt }
      }
    }
    if (open.length > 0) await sleep(60, signal)
  }
}

/** A column as HubSpot writes its value. */
const textOf = (property: string) => (property === 'features' ? "array_to_string(features, ';')" : `${property}::text`)

function pick<T>(choices: readonly T[]): T {
  return choices[Math.floor(Math.random() * choices.length)]!
}
