import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'

/** Where the server of a database is, for whoever connects to it without this folder. */
export type ServerAddress = {
  /** For `net.connect`. */
  to: { host: string; port: number } | { path: string }
  /** `false`: as it is. Without a `servername` where the host is an address. */
  tls: ConnectionOptions | false
  /** TLS from the first byte on, without asking first. */
  isDirect: boolean
  database: string
}

/** Reads a postgres:// URL as pg itself does, environment and defaults included. */
export function serverAddress(databaseUrl: string): ServerAddress {
  const { host, port, database = '', ssl, sslNegotiation } = new pg.Client({ connectionString: databaseUrl }) as pg.Client & {
    ssl: boolean | ConnectionOptions
    sslNegotiation: string
  }
  const to = host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }
  return { to, tls: ssl === false ? false : tlsOptions(ssl === true ? {} : ssl, host), isDirect: sslNegotiation === 'direct', database }
}

function tlsOptions(ssl: ConnectionOptions, host: string): ConnectionOptions {
  // pg hides the key from whoever lists the properties.
  const { key } = ssl
  return { ...ssl, host, ...(key !== undefined && { key }) }
}
