// Plain JavaScript that needs only Node: npm runs it as `prepare` wherever the package is installed from its folder.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const dist = join(root, 'dist')

const compiler = findCompiler()
if (compiler) build(compiler)
else if (existsSync(join(dist, 'index.js'))) console.log('tenantry: TypeScript is not installed, dist stays as it is')
else fail('tenantry: dist is not built and TypeScript is not installed. Install with development dependencies once.')

function findCompiler() {
  try {
    // Its program is not among its exports.
    return join(createRequire(import.meta.url).resolve('typescript-7/package.json'), '../bin/tsc')
  } catch {
    return undefined
  }
}

/**
 * Compiles src, then removes the files of earlier builds. dist is never empty in between, because another process may be running
 * from it.
 */
function build(compiler) {
  const args = [compiler, '-p', 'tsconfig.build.json', '--listEmittedFiles']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) fail(stdout + stderr)

  const emitted = new Set([...stdout.matchAll(/^TSFILE: (.+)$/gm)].map(([, file]) => resolve(root, file)))
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name)
    if (!entry.isDirectory() && !emitted.has(file)) rmSync(file)
  }
  chmodSync(join(dist, 'cli', 'main.js'), 0o755)
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
