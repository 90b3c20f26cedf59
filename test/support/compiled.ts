import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { inject } from 'vitest'
import { isAlive } from '../../src/testing/embedded-server.js'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

declare module 'vitest' {
  export interface ProvidedContext {
    compiled: string
  }
}

/**
 * Compiles src, and what tests run as processes of their own, into a folder that is laid out as this one. A process that compiled
 * it by itself would take three times as long to start.
 */
export async function compileForProcesses(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const cache = join(root, 'node_modules/.cache')
  await mkdir(cache, { recursive: true })
  await removeLeftovers(cache)
  const folder = await mkdtemp(join(cache, `tenantry-tests-${process.pid}-`))
  await compile(join(root, 'src'), join(folder, 'src'))
  for (const name of ['package.json', 'drizzle']) await symlink(join(root, name), join(folder, name))
  const programs = [
    'test/database/take-lock.ts',
    'test/migrations/interrupted-migrator.ts',
    'test/migrations/migrations-folder.ts',
    'test/operations/interrupted-rotation.ts',
    'test/testing/hold-server.ts',
  ]
  await transpile(
    programs.map((program) => join(root, program)),
    join(folder, 'test'),
    '--outbase=test',
  )
  return { folder, remove: () => rm(folder, { recursive: true }) }
}

/** A run that was interrupted leaves its folder. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const pid = /^tenantry-tests-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(cache, name), { recursive: true, force: true })
  }
}

/** The path of a compiled file: `src/cli/main.js`. Read it in tests and hooks only. */
export const compiled = (path: string): string => join(inject('compiled'), path)

/** As the build does, without looking at types: `npm run check` does that. */
export async function compile(from: string, to: string): Promise<void> {
  const files = await readdir(from, { recursive: true })
  await transpile(
    files.filter((file) => file.endsWith('.ts')).map((file) => join(from, file)),
    to,
    `--outbase=${from}`,
  )
}

async function transpile(files: readonly string[], to: string, ...options: string[]): Promise<void> {
  const esbuild = join(root, 'node_modules/.bin/esbuild')
  await run(
    esbuild,
    [...files, `--outdir=${to}`, '--format=esm', '--target=es2023', '--log-level=error', '--sourcemap', ...options],
    {
      cwd: root,
    },
  )
}
