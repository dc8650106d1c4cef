import { run } from 'graphile-worker'
import { z } from 'zod'

// A user's own graphile-worker, with a task that writes what it gets to table got: node test/support/task-worker.ts DATABASE_URL.

const Payload = z.object({
  subscription: z.number(), object: z.string(), record_id: z.string(),
  changes: z.array(z.object({ id: z.string(), record_id: z.string(), op: z.string(), changed: z.record(z.string(), z.unknown()) })),
})

const url = new URL(process.argv[2]!)
url.searchParams.set('application_name', 'tasks')
await run({
  connectionString: url.href,
  concurrency: 4,
  pollInterval: 100,
  noHandleSignals: true,
  taskList: {
    async note(raw, { query }) {
      const { record_id, changes } = Payload.parse(raw)
      for (const { id, op, changed } of changes) {
        if (JSON.stringify(changed).includes('"bad"')) throw new Error('not this one')
        await query('insert into public.got (who, record_id, change_id, op, changed) values ($1, $2, $3, $4, $5)', ['task', record_id, id, op, JSON.stringify(changed)])
      }
    },
  },
})
console.log('ready')
