import type pg from 'pg'

type Connection = {
  query(text: string): void
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

/** `copy … from stdin` in one statement; pg hands whatever has `submit` the protocol's messages. */
export function copyIn(client: pg.Client, text: string, rows: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    const statement = {
      submit: (connection: Connection) => connection.query(text),
      handleCopyInResponse(connection: Connection) {
        for (let at = 0; at < rows.length; at += 65_536) connection.sendCopyFromChunk(rows.subarray(at, at + 65_536))
        connection.endCopyFrom()
      },
      handleCommandComplete: () => undefined,
      handleError: (error: Error) => (failure = error, reject(error)),
      handleReadyForQuery: () => failure ?? resolve(),
    }
    client.query(statement as unknown as pg.Submittable)
  })
}
