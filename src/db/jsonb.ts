import pg from 'pg'

/** A JSON body as one parameter for `$n::jsonb`. */
export type Jsonb = {
  readonly body: Buffer
  /** What pg asks of a parameter that it does not know. */
  toPostgres(): Buffer
}

/**
 * A JSON body as one binary parameter for `$n::jsonb`: version byte 1, then the text as it came. Nothing in
 * JavaScript decodes, parses or escapes it; {@link queryWithBody} does not even copy it.
 */
export function asJsonb(body: Buffer): Jsonb {
  return { body, toPostgres: () => Buffer.concat([VERSION, body]) }
}

const VERSION = Buffer.from([1])

/**
 * Runs a named statement, writing `asJsonb` parameters to the connection as they are. pg itself would copy a page three times
 * on its way out, and it is such copies, not live objects, that V8 collects for: half of a worker's CPU in a first load.
 */
export async function queryWithBody<Row extends pg.QueryResultRow>(
  on: pg.Pool | pg.PoolClient,
  statement: { name: string; text: string; values: unknown[] },
): Promise<Row[]> {
  const query = new pg.Query<Row>(statement)
  const submit = query.submit.bind(query)
  // Everything but the one message stays pg's: preparing, describing, reading the answer.
  query.submit = (connection) => submit(Object.create(connection, { bind: { value: (config: BindConfig) => bind(connection, config) } }) as pg.Connection)
  // What has `submit` is given a callback: by a pool its own, of which it returns a promise.
  const { rows } = await ('release' in on
    ? new Promise<pg.QueryResult<Row>>((resolve, reject) => {
        const done: Callback<Row> = (error, result) => (error ? reject(error) : resolve(result))
        ;(on as unknown as { query(query: unknown, values: undefined, done: Callback<Row>): void }).query(query, undefined, done)
      })
    : (on.query(query) as unknown as Promise<pg.QueryResult<Row>>))
  return rows
}

type Callback<Row extends pg.QueryResultRow> = (error: Error | null | undefined, result: pg.QueryResult<Row>) => void

type BindConfig = { portal?: string; statement?: string; values?: unknown[]; valueMapper(value: unknown): Buffer | string | null }

function bind({ stream }: pg.Connection, { portal = '', statement = '', values = [], valueMapper }: BindConfig): void {
  const parameters = values.map((value) => (isJsonb(value) ? value : valueMapper(value)))
  for (const part of bindMessage(portal, statement, parameters)) stream.write(part)
}

const isJsonb = (value: unknown): value is Jsonb => typeof value === 'object' && value !== null && 'toPostgres' in value && 'body' in value

/**
 * The protocol's Bind message, in parts to be sent one after another: each `asJsonb` body is a part of its own, the same memory.
 * Strings are sent as text, buffers as binary; results are asked for as text.
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export function bindMessage(portal: string, statement: string, parameters: readonly (Jsonb | Buffer | string | null)[]): Buffer[] {
  const parts: Buffer[] = []
  let small = [
    Buffer.from(`${portal}\0${statement}\0`),
    int16(parameters.length, ...parameters.map((value) => (value === null || typeof value === 'string' ? 0 : 1)), parameters.length),
  ]
  for (const value of parameters) {
    if (value === null) small.push(int32(-1))
    else if (isJsonb(value)) {
      parts.push(Buffer.concat([...small, int32(value.body.length + 1), VERSION]), value.body)
      small = []
    } else {
      const bytes = typeof value === 'string' ? Buffer.from(value) : value
      small.push(int32(bytes.length), bytes)
    }
  }
  parts.push(Buffer.concat([...small, int16(1, 0)]))
  const length = parts.reduce((sum, part) => sum + part.length, 4)
  parts[0] = Buffer.concat([Buffer.from('B'), int32(length), parts[0]!])
  return parts
}

function int16(...values: number[]): Buffer {
  const bytes = Buffer.allocUnsafe(2 * values.length)
  values.forEach((value, i) => bytes.writeInt16BE(value, 2 * i))
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value)
  return bytes
}
