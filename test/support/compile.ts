import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** A project of somebody's, with the packages that are here. */
export type Project = AsyncDisposable & {
  folder: string
  write(file: string, text: string): Promise<string>
  /** What the compiler says of these files, as strict as it gets; empty where nothing is wrong. */
  compile(...files: string[]): string
}

/** Makes a folder of its own, gone when disposed of. */
export async function makeProject(): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), 'project-'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), '{"type": "module"}')
  return {
    folder,
    async write(file, text) {
      const path = join(folder, file)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, text)
      return path
    },
    compile(...files) {
      const { stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), [...STRICT, ...files], { cwd: folder, encoding: 'utf8' })
      return stdout
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

const STRICT = [
  '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--isolatedModules', '--erasableSyntaxOnly',
  '--verbatimModuleSyntax', '--allowImportingTsExtensions', '--skipLibCheck', '--target', 'es2024', '--lib', 'es2024,esnext.disposable,esnext.iterator',
  '--module', 'nodenext', '--types', 'node',
]
