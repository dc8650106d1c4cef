import type { SandboxOptions } from '../../src/sandbox/index.ts'
import { startWorld, type World } from './sync.ts'

export const LIST = /objects\/[^/]+\/0-1$/
export const OBJECTS = /objects\/[^/]+\/0-1/
export const READ = /0-1\/batch\/read$/

type Properties = Record<string, unknown>
export type Spoil = (record: { id: string; properties: Properties }, path: string) => unknown

/** A world in which a test spoils the records of answers whose path fits, as long as it says; those for which it says false are left out. */
export async function lacking(sandbox: SandboxOptions = {}) {
  const now: { paths: RegExp; spoil: Spoil | undefined } = { paths: /./, spoil: undefined }
  const world = await startWorld('lacking', {
    sandbox: { objects: { contacts: 8 }, ...sandbox },
    client: (client) => ({
      ...client,
      async request(request) {
        const answer = await client.request(request)
        if (now.spoil === undefined || !now.paths.test(request.path) || String(request.query?.['archived']) === 'true') return answer
        const page = JSON.parse(answer.body.toString()) as { results: Parameters<Spoil>[0][] }
        const { spoil } = now
        page.results = page.results.filter((record) => spoil(record, request.path) !== false)
        return { ...answer, body: Buffer.from(JSON.stringify(page)) }
      },
    }),
  })
  const ids = [...world.store.records('contacts')].map(({ id }) => id)
  const spoil = (paths: RegExp, how?: Spoil) => {
    now.paths = paths
    now.spoil = how
  }
  return { world, ids, spoil, honest: () => spoil(/./) }
}

export const emptyLeftOut: Spoil = ({ properties }) => { for (const name of Object.keys(properties)) if (properties[name] === null) delete properties[name] }
export const problems = ({ db }: World) => db.query<{ code: string }>('select code, record_id, property from hubspot.problems where resolved_at is null order by record_id')
