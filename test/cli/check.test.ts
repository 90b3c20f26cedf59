import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { containing, copyOfExample, root, tenantry } from './command-line.js'

let project: string
beforeEach(() => {
  project = copyOfExample()
})

const check = (...args: string[]) => tenantry(['check', ...args], { cwd: project })
const edit = (file: string, from: string | RegExp, to: string) => {
  const before = readFileSync(join(project, file), 'utf8')
  const after = before.replace(from, to)
  expect(after).not.toBe(before)
  writeFileSync(join(project, file), after)
}

describe('check', () => {
  test('finds nothing in the tables of the library, nor in sound ones of the host', async () => {
    const alone = await tenantry(['check', '--json'])
    const together = await check('--json')
    expect([alone.code, together.code]).toEqual([0, 0])
    const count = (alone.json() as { tables: number }).tables
    expect(together.json()).toEqual({ tables: count + 1, findings: [] })
    expect(await check()).toMatchObject({ stdout: `${count + 1} tables are sound.\n`, stderr: '' })
  })

  test('names the rule, the table and what to do', async () => {
    edit('src/schema.ts', "    ...tenantTable('tickets', t),\n", '')
    const found = await check()
    expect(found).toMatchObject({ code: 3, stderr: '' })
    expect(found.stdout).toContain(
      "row-security: helpdesk.tickets has no row security. Add `...tenantTable('tickets', t)`",
    )
    expect((await check('--json')).json()).toMatchObject({
      findings: expect.arrayContaining([
        expect.objectContaining({ rule: 'row-security', table: 'helpdesk.tickets' }),
      ]) as unknown,
    })
  })

  test('tells an export that has the name of one of the library', async () => {
    edit('src/schema.ts', /(?<!['\w])tickets\b(?!')/g, 'invoices')
    expect((await check()).stdout).toContain(
      'export-name: tenantry/schema has an export named invoices too. Export yours under another name.',
    )
  })

  test('leaves out the rules that the config excepts', async () => {
    edit('src/schema.ts', "'tickets_status_idx'", "'by_status'")
    const rule = /^([a-z-]+): .*by_status/m.exec((await check()).stdout)?.[1] ?? ''
    expect(rule).not.toBe('')
    edit('tenantry.config.ts', "migrations: './drizzle'", `migrations: './drizzle', exceptRules: ['${rule}']`)
    expect((await check()).stdout).not.toContain(`${rule}:`)
  })

  test('tells a change that no migration has, and configs that disagree', async () => {
    edit(
      'src/schema.ts',
      "subject: text('subject').notNull(),",
      "subject: text('subject').notNull(), note: text('note'),",
    )
    edit('drizzle.config.ts', "schema: 'app_migrations'", "schema: 'drizzle'")
    const { code, stdout } = await check()
    expect(code).toBe(3)
    expect(stdout).toContain('generated: table helpdesk.tickets, column note is in the definitions and in no migration')
    expect(stdout).toMatch(/drizzle-config: .*"drizzle".*"app_migrations"/)
  })

  test('tells a schema that is not exported, because drizzle-kit would not create it', async () => {
    edit('src/schema.ts', 'export const helpdesk', 'const helpdesk')
    expect((await check()).stdout).toContain(
      "schema-export: The schema helpdesk is not exported, so drizzle-kit writes no CREATE SCHEMA for it. Add `export const helpdesk = pgSchema('helpdesk')`",
    )
    edit('tenantry.config.ts', "migrations: './drizzle'", "migrations: './drizzle', exceptRules: ['schema-export']")
    expect((await check()).stdout).not.toContain('schema-export')
  })

  test('says that drizzle-kit is to be installed, where drizzle.config.ts cannot import it', async () => {
    rmSync(join(project, 'node_modules'))
    mkdirSync(join(project, 'node_modules'))
    for (const name of readdirSync(join(root, 'node_modules')).filter((one) => one !== 'drizzle-kit')) {
      symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
    }
    expect(await check()).toMatchObject({
      code: 2,
      stderr: containing('drizzle-kit is not installed: npm install --save-dev drizzle-kit'),
    })
  })

  test('lists the rules with their reasons', async () => {
    expect((await check('--rules')).stdout).toMatch(/^row-security: Without row security/m)
  })
})

describe('tenantry.config.ts', () => {
  test('is found upwards, and can be named', async () => {
    const below = join(project, 'src', 'deep')
    mkdirSync(below)
    const tables = async (cwd: string, ...args: string[]) =>
      ((await tenantry(['check', '--json', ...args], { cwd })).json() as { tables: number }).tables
    const own = await tables(below)
    expect(await tables(tmpdir())).toBe(own - 1)
    expect(await tables(tmpdir(), '--config', join(project, 'tenantry.config.ts'))).toBe(own)
  })

  test.each<[string, string, RegExp]>([
    ['has no default export', 'export const config = {}', /tenantry\.config\.ts: has no default export/],
    ['misses the schema', "export default { migrations: './drizzle' }", /tenantry\.config\.ts schema: /],
    [
      'has a key that nobody knows',
      "export default { schema: './src/schema.ts', migrations: './drizzle', tables: [] }",
      /tenantry\.config\.ts: .*tables/,
    ],
    [
      'names a file that is not there',
      "export default { schema: './nothing.ts', migrations: './drizzle' }",
      /nothing\.ts: there is no such file/,
    ],
    [
      'names a module without tables',
      "export default { schema: './drizzle.config.ts', migrations: './drizzle' }",
      /drizzle\.config\.ts: exports no table/,
    ],
    ['does not parse', 'export default {', /tenantry\.config\.ts: cannot be loaded/],
  ])('is refused when it %s', async (_, content, message) => {
    writeFileSync(join(project, 'tenantry.config.ts'), content)
    const { code, stderr } = await check()
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  })
})

describe('migrate new', () => {
  test('writes both ways, and nothing when nothing has changed', { timeout: 120_000 }, async () => {
    const create = (...args: string[]) => tenantry(['migrate', 'new', ...args], { cwd: project })
    expect((await create('--name', 'nothing', '--json')).json()).toEqual({ generated: null })
    expect(await create()).toMatchObject({ code: 2, stderr: containing('name') })

    // drizzle-kit loads the tables by itself, and would need this package to be built.
    writeFileSync(
      join(project, 'src/schema.ts'),
      `import { pgSchema, text } from 'drizzle-orm/pg-core'
       export const notes = pgSchema('helpdesk').table('notes', { body: text('body') })`,
    )
    rmSync(join(project, 'drizzle'), { recursive: true })
    const { code, stdout } = await create('--name', 'notes')
    expect(code).toBe(0)
    expect(stdout).toContain('drizzle/0000_notes.down.sql')
    expect(stdout).toMatch(/^Mend what `tenantry check` finds; .* writes the change:\n[\w-]+: helpdesk\.notes/m)
    expect(readFileSync(join(project, 'drizzle/0000_notes.sql'), 'utf8')).toContain('CREATE TABLE "helpdesk"."notes"')
    expect(readFileSync(join(project, 'drizzle/0000_notes.down.sql'), 'utf8')).toMatch(/^-- draft.*DROP TABLE /s)
  })

  test('needs a drizzle.config.ts', async () => {
    rmSync(join(project, 'drizzle.config.ts'))
    expect(await tenantry(['migrate', 'new', '--name', 'x'], { cwd: project })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /drizzle\.config\.ts: there is no such file.*\n\nimport \{ defineConfig \} from 'drizzle-kit'/,
      ) as string,
    })
  })
})
