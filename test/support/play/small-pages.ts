import type { Client } from '../../../src/hubspot/client.ts'
import type { Sandbox } from '../../../src/sandbox/index.ts'
import type { Scenario } from '../arbitraries.ts'
import { prng } from '../interleave.ts'
import { pagesOf } from '../sync.ts'

/** A HubSpot with smaller pages, whose search answers what it learned lately in any order. */
export function smallPages(client: Client, sandbox: Sandbox, { listPage, searchPage, isDisordered, order }: Scenario): Client {
  const random = prng(order + 1)
  const small = pagesOf(listPage, searchPage)(client, sandbox)
  if (!isDisordered) return small
  return {
    ...small,
    async request(request) {
      const answer = await small.request(request)
      // Later than the shorter settle window its order is right.
      return request.path.endsWith('/search') ? { ...answer, body: disordered(answer.body, sandbox.store.now() - 9 * 60_000, random) } : answer
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
