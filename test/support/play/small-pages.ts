import type { Client } from '../../../src/hubspot/client.ts'
import type { Sandbox } from '../../../src/sandbox/index.ts'
import type { Scenario } from '../arbitraries.ts'
import { prng } from '../interleave.ts'

/** A HubSpot with smaller pages, whose search answers what it learned lately in any order. */
export function smallPages(client: Client, sandbox: Sandbox, { listPage, searchPage, isDisordered, order }: Scenario): Client {
  const random = prng(order + 1)
  return {
    ...client,
    async request(request) {
      if (request.query?.['properties'] !== undefined && request.query['limit'] !== undefined) {
        return client.request({ ...request, query: { ...request.query, limit: Math.min(listPage, Number(request.query['limit'])) } })
      }
      if (!request.path.endsWith('/search')) return client.request(request)
      const body = JSON.parse(request.body as string) as { limit: number }
      const answer = await client.request({ ...request, body: JSON.stringify({ ...body, limit: Math.min(searchPage, body.limit) }) })
      return isDisordered ? { ...answer, body: disordered(answer.body, sandbox.store.now() - 9 * 60_000, random) } : answer
    },
  }
}

function disordered(body: Buffer, settledUntil: number, random: () => number): Buffer {
  let page: { results: { updatedAt: string }[] }
  try {
    page = JSON.parse(body.toString()) as typeof page
  } catch {
    // Torn on the way.
    return body
  }
  const { results } = page
  const loose = results.flatMap((hit, i) => (Date.parse(hit.updatedAt) > settledUntil ? [i] : []))
  const hits = loose.map((i) => results[i]!)
  for (const i of loose) results[i] = hits.splice(Math.floor(random() * hits.length), 1)[0]!
  return Buffer.from(JSON.stringify(page))
}
