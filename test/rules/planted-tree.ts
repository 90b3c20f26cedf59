import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters as plain } from 'node:util'
import { onTestFinished, vi } from 'vitest'

export const root = fileURLToPath(new URL('../..', import.meta.url))

// Every tool is a program of its own, and a busy machine is slow to start one.
vi.setConfig({ testTimeout: 180_000 })

const configuration = [
  'package.json',
  'tsconfig.json',
  'drizzle.config.ts',
  '.oxlintrc.json',
  '.dependency-cruiser.js',
  'knip.jsonc',
  '.oxfmtrc.json',
]

/** A project with this one's rules and the files given, besides those copied from here. It goes when the test ends. */
export function plantTree(files: Record<string, string>, copied: readonly string[] = []): string {
  const tree = mkdtempSync(join(tmpdir(), 'tenantry-rules-'))
  onTestFinished(() => {
    rmSync(tree, { recursive: true })
  })
  for (const path of [...configuration, ...copied]) cpSync(join(root, path), join(tree, path), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), content)
  }
  return tree
}

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a program of node_modules in a planted tree, as `npm run check` does. Its output is given without colours: not every program heeds
 * NO_COLOR where CI is set.
 */
export function run(tree: string, script: string, ...args: string[]): Promise<Ended> {
  return new Promise((settle) => {
    const argv = [join(tree, 'node_modules', script), ...args]
    const env = { ...process.env, FORCE_COLOR: undefined, NO_COLOR: '1' }
    execFile(process.execPath, argv, { cwd: tree, env, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      settle({ code: error ? Number(error.code) : 0, stdout: plain(stdout), stderr: plain(stderr) })
    })
  })
}
