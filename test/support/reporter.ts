import type { Reporter } from 'vitest/node'

/** Ends a run's output with one line that a script can read: `N passed, N failed, N skipped`. */
export default class implements Reporter {
  #counts = { passed: 0, failed: 0, skipped: 0, pending: 0 }

  onInit(): void {
    // After everything that others print; a run that never came to its tests counts as one failure.
    process.once('exit', (code) => {
      const { passed, failed, skipped, pending } = this.#counts
      console.log(`${passed} passed, ${failed || (code === 0 ? 0 : 1)} failed, ${skipped + pending} skipped`)
    })
  }

  onTestRunEnd(...[modules, errors]: Parameters<NonNullable<Reporter['onTestRunEnd']>>): void {
    this.#counts = { passed: 0, failed: errors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      // A file that could not be loaded, or whose hooks failed, may have no failed test to show for it.
      this.#counts.failed += module.errors().length
      for (const test of module.children.allTests()) this.#counts[test.result().state]++
    }
  }
}
