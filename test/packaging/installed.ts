import { execFile } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** What somebody has who put this package into a folder of their own repository. */
const sources = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts', 'src', 'drizzle', 'docs', 'LICENSE']

export function copyPackage(to: string): void {
  for (const path of sources) cpSync(join(root, path), join(to, path), { recursive: true })
}

interface Lock {
  packages: Record<string, object>
}

/**
 * This package's own lock, seen from a monorepo that holds the package in `packages/tenantry`: the same versions, so that npm
 * takes them from its cache and asks no registry.
 */
export function writeLock(monorepo: string): void {
  const { packages, ...lock } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  // The links lead to this package's own workspaces.
  const installed = Object.entries(packages).filter(
    ([place, entry]) => place.startsWith('node_modules/') && !('link' in entry),
  )
  const manifest = (path: string) => JSON.parse(readFileSync(join(monorepo, path, 'package.json'), 'utf8')) as object
  const { '': own, ...links } = {
    '': { ...packages[''], workspaces: undefined },
    'node_modules/app': { resolved: 'app', link: true },
    'node_modules/tenantry': { resolved: 'packages/tenantry', link: true },
  }
  writeFileSync(
    join(monorepo, 'package-lock.json'),
    JSON.stringify({
      ...lock,
      name: 'monorepo',
      packages: {
        '': manifest('.'),
        app: manifest('app'),
        'packages/tenantry': own,
        ...Object.fromEntries(installed),
        ...links,
      },
    }),
  )
}

/** Runs a program and gives what it wrote. It sees nothing of the npm that runs these tests. */
export function run(cwd: string, program: string, ...args: string[]): Promise<string> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_(config_(local_)?prefix|package_|lifecycle_)|INIT_CWD)/.test(name),
  )
  return new Promise((settle, fail) => {
    execFile(
      program,
      args,
      { cwd, env: Object.fromEntries(inherited), maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        if (error) fail(new Error(`${program} ${args.join(' ')} in ${cwd}\n${stdout}${stderr}`))
        else settle(stdout)
      },
    )
  })
}
