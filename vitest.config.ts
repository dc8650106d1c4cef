import { accessSync, constants, statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { defineConfig } from 'vitest/config'

// Databases in memory where there is plenty: copying the template takes 20 ms there and 350 ms on a slow disk.
const gigabyte = 2 ** 30
if (process.env.TMPDIR === undefined && isRoomy('/dev/shm')) process.env.TMPDIR = '/dev/shm'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/reporter.ts'],
    // Processes of their own: tests start workers and servers, and one that hangs must not take the rest along.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})

function isRoomy(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize > 4 * gigabyte && freemem() > 8 * gigabyte
  } catch {
    return false
  }
}
