import pg from 'pg'

/**
 * What every session of ours begins with, whatever the database's, the role's or the URL's own settings are. A step that waited for
 * another must see what that wrote. And neither our statements nor the queue's take a function or an operator that someone put on
 * the usual path. By the startup message: a pool that waited for a statement of its own would stand still after a crash of the server.
 */
const SETTINGS = '-c default_transaction_isolation=read\\ committed -c search_path=pg_catalog,pg_temp'

/** A connection of the product's own. Users' functions find the usual path in it: see hubspot_private.path_open(). */
export class Session extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config)
    // As pg read them from the URL, the config or PGOPTIONS: it takes one of these alone, and of a setting told twice the last counts.
    const { connectionParameters: parameters } = this as unknown as { connectionParameters: { options?: string } }
    parameters.options = parameters.options ? `${parameters.options} ${SETTINGS}` : SETTINGS
  }
}
