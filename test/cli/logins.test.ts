import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, example, tenantry } from './command-line.js'

const database = useDatabase()

let env: Record<string, string>
/** A name that the next run of the tests drops, and the url it logs in with. */
let named: (end: string) => { name: string; urlWith: (password: string) => string }
beforeAll(() => {
  env = { DATABASE_ADMIN_URL: database.adminUrl }
  named = (end) => {
    const url = new URL(database.appUrl)
    url.username = url.username.replace(/_app$/, `_${end}`)
    return { name: url.username, urlWith: (password) => Object.assign(new URL(url), { password }).href }
  }
})

describe('login create', () => {
  test('makes a login whose password is shown once, and which proof finds safe', async () => {
    const { name, urlWith } = named('cliweb')
    const { code, stdout, stderr } = await tenantry(['login', 'create', name], { env })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [, url = ''] = /^DATABASE_URL=(\S+)$/m.exec(stdout) ?? []
    expect(url).toBe(urlWith(new URL(url).password))
    expect(await tenantry(['proof'], { env: { DATABASE_URL: url } })).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^This login is safe to use, as tenantry_app\./) as string,
    })
    expect((await tenantry(['login', 'create', name, '--json'], { env })).json()).toEqual({
      name,
      role: 'tenantry_app',
      done: [],
      remaining: [],
    })
    expect((await tenantry(['login', 'create', name], { env })).stdout).toContain('keeps its password')
  })

  test('makes one of the system with a password of ours, which it does not repeat', async () => {
    const { name, urlWith } = named('clisystem')
    const args = ['login', 'create', name, '--system', '--password-stdin', '--json']
    const made = await tenantry(args, { env, stdin: 'correct horse\n' })
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).not.toContain('correct horse')
    expect(made.json()).toMatchObject({ role: 'tenantry_system' })
    const url = urlWith('correct horse')
    const proof = await tenantry(['proof', '--system', '--json'], { env: { SYSTEM_DATABASE_URL: url } })
    expect(proof).toMatchObject({ code: 0 })
    expect(proof.json()).toMatchObject({ role: 'tenantry_system', faults: [] })
  })

  test('refuses a role that can do more, a name that is none, and an empty password', async () => {
    const { username } = new URL(database.adminUrl)
    expect(await tenantry(['login', 'create', username], { env })).toMatchObject({
      code: 1,
      stderr: containing('is a superuser'),
    })
    expect(await tenantry(['login', 'create', 'no name'], { env })).toMatchObject({ code: 2 })
    expect(await tenantry(['login', 'create'], { env })).toMatchObject({
      code: 2,
      stderr: containing('Name the login: tenantry login create <name>'),
    })
    const { name } = named('clinone')
    expect(await tenantry(['login', 'create', name, '--password-stdin'], { env })).toMatchObject({
      code: 2,
      stderr: 'password: is empty\n',
    })
    expect(await database.admin.query('select from pg_roles where rolname = $1', [name])).toEqual([])
  })
})

describe('proof', () => {
  test('names what is wrong with a login, and what mends it', async () => {
    const found = await tenantry(['proof'], { env: { DATABASE_URL: database.adminUrl } })
    expect(found).toMatchObject({ code: 3, stderr: '' })
    expect(found.stdout).toMatch(/^This login is not safe to use:\n/)
    expect(found.stdout).toMatch(/- is a superuser: \S+\n {2}mend: \S/)
    const { faults } = (await tenantry(['proof', '--json', '--url', database.adminUrl])).json() as { faults: unknown[] }
    expect(faults).toContainEqual(expect.objectContaining({ fault: 'is a superuser' }))
  })

  test('is about one of the two roles', async () => {
    expect(await tenantry(['proof', '--system'], { env: { SYSTEM_DATABASE_URL: database.appUrl } })).toMatchObject({
      code: 3,
    })
    expect(await tenantry(['proof', '--system'], { env: { DATABASE_URL: database.systemUrl } })).toMatchObject({
      code: 2,
      stderr: containing('SYSTEM_DATABASE_URL: is not set'),
    })
  })

  test('accepts the rights that a config allows, also one that names no tables', async () => {
    await database.admin.query('create table public.legacy (id int)')
    await database.admin.query('grant select on public.legacy to tenantry_app')
    const cwd = mkdtempSync(join(tmpdir(), 'tenantry-proof-'))
    onTestFinished(async () => {
      rmSync(cwd, { recursive: true })
      await database.admin.query('drop table public.legacy')
    })
    const proof = () => tenantry(['proof'], { cwd, env: { DATABASE_URL: database.appUrl } })
    expect((await proof()).code).toBe(3)
    writeFileSync(join(cwd, 'tenantry.config.ts'), `export default { allowRelations: ['public.legacy'] }`)
    expect(await proof()).toMatchObject({ code: 0 })
  })

  test("covers the host's own tables", async () => {
    const { stdout, code } = await tenantry(['proof'], { cwd: example, env: { DATABASE_URL: database.appUrl } })
    expect(code).toBe(3)
    expect(stdout).toContain('0000_tickets')
    expect(stdout).toContain('npx tenantry migrate up')
  })
})

describe('bootstrap', () => {
  test('puts back a right that is missing and takes away one that is too much', async () => {
    await database.admin.query('grant truncate on platform.agents to tenantry_app')
    await database.admin.query('revoke select on platform.tasks from tenantry_app')
    const mended = await tenantry(['bootstrap'], { env })
    expect(mended).toMatchObject({ code: 0, stderr: '' })
    expect(mended.stdout.split('\n').filter(Boolean)).toEqual([
      'Done:',
      '  revoke truncate on table platform.agents from tenantry_app cascade;',
      '  grant select on table platform.tasks to tenantry_app;',
    ])
    expect((await tenantry(['bootstrap', '--json'], { env })).json()).toEqual({
      done: [],
      remaining: [],
      advised: [],
      extensions: [],
    })
  })

  test('with an exclusive database nobody makes temporary tables', async () => {
    await database.admin.query(
      "do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$",
    )
    expect((await tenantry(['bootstrap'], { env })).stdout).toBe('Roles and rights are as declared.\n')
    expect((await tenantry(['bootstrap', '--exclusive-database'], { env })).stdout).toMatch(
      /^Done:\n  revoke temporary on database /,
    )
    const session = await openSession({ url: database.appUrl })
    await expect(session.query('create temporary table t ()')).rejects.toThrow('permission denied')
    await session.close()
  })

  test('ends with 3 and the SQL where the login may not do what is needed', async () => {
    await database.admin.query('revoke select on platform.tasks from tenantry_app')
    const left = await tenantry(['bootstrap'], { env: { DATABASE_URL: database.systemUrl } })
    expect(left).toMatchObject({
      code: 3,
      stdout: containing('Run them as a role that may:\n  grant select on table platform.tasks'),
    })
    expect(left.stdout).not.toContain('as declared')
    await tenantry(['bootstrap'], { env })
  })
})
