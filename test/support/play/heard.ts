import type { Jsonb } from '../../../src/db/jsonb.ts'

type Answer = { results?: { id: string; properties?: { hs_merged_object_ids?: string | null } }[] }

/** The merges that HubSpot told of in answers that the database took in: what it heard it has to know. */
export function createHeard() {
  const merges = new Set<string>()
  return {
    /** Whether it heard that one record is part of another. */
    merge: (object: string, lost: string, id: string) => merges.has(`${object} ${lost} ${id}`),
    /** Notes what came of a call of a function. */
    note(called: string, values: readonly unknown[], result: unknown) {
      if (called !== 'step_commit' && called !== 'live_apply') return
      const [{ outcome }] = (result as { rows: [{ outcome: string }] }).rows
      const answer = values.find((value): value is Jsonb => typeof value === 'object' && value !== null && 'body' in value)
      if (answer === undefined || ['lost', 'again'].includes(outcome)) return
      for (const { id, properties } of (JSON.parse(answer.body.toString()) as Answer | null)?.results ?? []) {
        for (const lost of (properties?.hs_merged_object_ids ?? '').split(';')) if (lost !== '') merges.add(`${String(values[0])} ${lost} ${id}`)
      }
    },
  }
}
