import type { CallMatch } from '../http/calls.ts'
import type { FaultRule } from '../types.ts'
import type { ControlRoutes } from './route.ts'

/** Faults, and the log of calls. */
export const callRoutes: ControlRoutes = {
  'GET /faults': { about: 'The faults in force, with how often each struck.', run: (store) => store.faults() },
  'POST /faults': {
    about: 'Adds a fault: {fault, match?, nth?, times?, probability?}; answers {number}.',
    needs: ['fault'],
    run: (store, _, body) => ({ number: store.addFault(body as unknown as FaultRule) }),
  },
  'DELETE /faults': {
    about: 'Removes the fault ?number=N, or all.',
    run: (store, _, __, query) => store.removeFaults(query.has('number') ? Number(query.get('number')) : undefined),
  },
  'GET /calls': {
    about: 'Calls received: {counts, calls}; ?kind=, ?object= and ?status= choose among the latest.',
    run: (store, _, __, query) => ({ counts: store.counts(), calls: store.calls(match(query)) }),
  },
  'DELETE /calls': { about: 'Forgets calls and counts.', run: (store) => store.resetCalls() },
}

function match(query: URLSearchParams): CallMatch {
  const { status, ...rest } = Object.fromEntries(query)
  return { ...rest, ...(status !== undefined && { status: Number(status) }) }
}
