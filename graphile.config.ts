import { WorkerPreset } from 'graphile-worker'

// For graphile-worker's own command line in place of `pg-hubspot worker`: npx graphile-worker -c "$DATABASE_URL"
export default {
  extends: [WorkerPreset],
  worker: {
    taskDirectory: `${import.meta.dirname}/src/graphile-tasks.ts`,
    crontabFile: `${import.meta.dirname}/crontab`,
    concurrentJobs: 12,
    maxPoolSize: 16,
    // How late a job due in the future may start: as pg-hubspot's own worker.
    pollInterval: 500,
  },
} satisfies GraphileConfig.Preset
