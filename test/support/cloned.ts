import { spawnSync } from 'node:child_process'
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { compile } from './compiled.js'

const root = join(import.meta.dirname, '../..')

/**
 * What a clone has after `npm ci`: the files that git tracks, as they stand in the working tree, the packages, and dist. CI runs
 * `npm ci` itself, in a clean clone and before the tests; another one would take a minute, and install the same packages.
 */
export async function cloneAndInstall(): Promise<string> {
  const clone = mkdtempSync(join(tmpdir(), 'tenantry-clone-'))
  const tracked = trackedFiles()
  cpSync(root, clone, { recursive: true, filter: (path) => !isMade(path) && (isFolder(path) || tracked(path)) })
  for (const name of packages()) link(clone, name)
  await compile(join(clone, 'src'), join(clone, 'dist'))
  return clone
}

/** All files where git, or its folder, is missing, as in a container of Node alone. */
function trackedFiles(): (path: string) => boolean {
  // A container may run as another account than the owner of the files, which git refuses without this setting.
  const { status, stdout } = spawnSync('git', ['-c', 'safe.directory=*', 'ls-files', '-z'], {
    cwd: root,
    encoding: 'utf8',
  })
  const files = new Set(status === 0 ? stdout.split('\0') : [])
  return (path) => status !== 0 || files.has(relative(root, path))
}

const made = new Set(['.git', 'node_modules', 'dist', 'coverage', '.tenantry'])
const isMade = (path: string) => made.has(basename(path))
const isFolder = (path: string) => lstatSync(path).isDirectory()

/** With their scopes, and the folder of their programs. */
const packages = (): string[] =>
  readdirSync(join(root, 'node_modules')).flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(root, 'node_modules', name)).map((inner) => `${name}/${inner}`) : [name],
  )

/** The links to this package and to its workspaces are relative, and so lead to those of the clone. */
function link(clone: string, name: string): void {
  const from = join(root, 'node_modules', name)
  const to = join(clone, 'node_modules', name)
  mkdirSync(dirname(to), { recursive: true })
  symlinkSync(lstatSync(from).isSymbolicLink() ? readlinkSync(from) : from, to)
}
