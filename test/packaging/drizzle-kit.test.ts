import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { root, run } from './installed.js'

test(
  'npx drizzle-kit generate needs no flag and no database, and finds nothing to generate',
  { timeout: 180_000 },
  async () => {
    const copy = mkdtempSync(join(tmpdir(), 'tenantry-generate-'))
    onTestFinished(() => rmSync(copy, { recursive: true }))
    for (const path of ['package.json', 'tsconfig.json', 'drizzle.config.ts', 'src/schema', 'drizzle']) {
      cpSync(join(root, path), join(copy, path), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const before = readdirSync(join(copy, 'drizzle'), { recursive: true })

    expect(await run(copy, 'npx', 'drizzle-kit', 'generate')).toContain('No schema changes, nothing to migrate')
    expect(readdirSync(join(copy, 'drizzle'), { recursive: true })).toEqual(before)
  },
)
