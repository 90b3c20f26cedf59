import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { copyPackage, root, run } from './installed.js'

vi.setConfig({ testTimeout: 600_000 })

let copy: string
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'tenantry-change-'))
  onTestFinished(() => {
    rmSync(copy, { recursive: true })
  })
  copyPackage(copy)
  cpSync(join(root, 'drizzle.config.ts'), join(copy, 'drizzle.config.ts'))
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
})

const read = (path: string) => readFileSync(join(copy, path), 'utf8')
const edit = (path: string, from: string | RegExp, to: string) => {
  writeFileSync(join(copy, path), read(path).replace(from, to))
}

describe('a table change', () => {
  test('npx drizzle-kit generate needs no flag and no database, and finds nothing to generate', async () => {
    const journal = read('drizzle/meta/_journal.json')
    expect(await run(copy, 'npx', 'drizzle-kit', 'generate')).toContain('No schema changes, nothing to migrate')
    expect(read('drizzle/meta/_journal.json')).toBe(journal)
  })

  test('npm run db:generate -- --name add_agent_color drafts both ways, and npm run db:dump shows the column and nothing else', async () => {
    edit(
      'src/schema/agents.ts',
      "name: text('name').notNull(),",
      "name: text('name').notNull(),\n    color: text('color'),",
    )
    await run(copy, 'npm', 'run', 'db:generate', '--', '--name', 'add_agent_color')
    const { entries } = JSON.parse(read('drizzle/meta/_journal.json')) as { entries: { tag: string }[] }
    const tag = entries.at(-1)?.tag ?? ''
    expect(tag).toMatch(/^\d{4}_add_agent_color$/)
    expect(read(`drizzle/${tag}.sql`)).toBe('ALTER TABLE "platform"."agents" ADD COLUMN "color" text;')
    const down = `drizzle/${tag}.down.sql`
    expect(read(down)).toMatch(/^-- draft.*\nALTER TABLE "platform"."agents" DROP COLUMN "color";/)

    await expect(run(copy, 'npm', 'run', 'db:dump')).rejects.toThrow(`${tag}.down.sql is a draft`)

    edit(down, /^-- draft.*\n/, '')
    await run(copy, 'npm', 'run', 'db:dump')
    const lines = (text: string) => new Set(text.split('\n'))
    const before = lines(readFileSync(join(root, 'drizzle/schema.sql'), 'utf8'))
    const after = lines(read('drizzle/schema.sql'))
    const added = [...after].filter((line) => !before.has(line))
    const removed = [...before].filter((line) => !after.has(line))
    // The column, and the rights to update it, which name each column.
    const isGrant = (line: string) => line.startsWith('GRANT UPDATE (')
    expect(added.filter((line) => !isGrant(line))).toEqual([expect.stringContaining('color text')])
    expect(removed.filter((line) => !isGrant(line))).toEqual([])
  })
})
