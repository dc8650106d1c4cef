#!/usr/bin/env node
// Before anything is loaded: what we depend on fails on an older Node, in words that help nobody.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`pg-hubspot: Node ${process.versions.node} is too old\n  Install Node 22.19 or later; 24 is what it is tested with.\n`)
  process.exit(1)
}
// A reader that went away, as in `… status | head -1`, is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

const { main } = await import('./cli/main.ts')
process.exitCode = await main(process.argv.slice(2))
// Whatever forgot to end must not keep a finished command alive.
setTimeout(() => process.exit(), 2_000).unref()

export {}
