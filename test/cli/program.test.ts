import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { writeFolder } from '../migrations/migrations-folder.js'
import { bin, containing, example, root, spawned, start, tenantry } from './command-line.js'

vi.setConfig({ testTimeout: 120_000 })

const database = useDatabase()

/** A host whose only migration makes a table and then waits for ever. */
async function endlessProject(): Promise<string> {
  const project = mkdtempSync(join(tmpdir(), 'tenantry-endless-'))
  onTestFinished(() => {
    rmSync(project, { recursive: true })
  })
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  writeFileSync(
    join(project, 'schema.ts'),
    `import { pgSchema, text } from 'drizzle-orm/pg-core'\nexport const t = pgSchema('endless').table('t', { a: text('a') })`,
  )
  writeFileSync(
    join(project, 'tenantry.config.ts'),
    `export default { schema: './schema.ts', migrations: './drizzle', bookkeeping: { schema: 'endless_migrations', table: 'm' } }`,
  )
  mkdirSync(join(project, 'drizzle'))
  const up = ['create schema endless', 'create table endless.t (a text)', 'select pg_sleep(3600)']
  await writeFolder([{ tag: '0000_endless', up, down: 'drop schema endless cascade' }], join(project, 'drizzle'))
  return project
}

const sleepers = () =>
  database.admin.query(
    `select from pg_stat_activity where datname = current_database() and query like 'select pg_sleep(3600)%' and state = 'active'`,
  )

describe('the bin', () => {
  test('teaches: its help names commands, variables, exit codes and examples', async () => {
    const [overview, up] = await Promise.all([spawned(['--help']), spawned(['migrate', 'up', '--help'])])
    expect([overview.code, up.code]).toEqual([0, 0])
    for (const command of [
      'migrate',
      'bootstrap',
      'login',
      'check',
      'proof',
      'seed',
      'partitions',
      'maintain',
      'adopt',
      'completion',
    ]) {
      expect(overview.stdout).toMatch(new RegExp(`^  tenantry ${command} `, 'm'))
    }
    expect(overview.stdout).toMatch(/Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}130 /)
    expect(up.stdout).toContain('DATABASE_ADMIN_URL')
    expect(up.stdout).toContain('tenantry migrate up --embedded ./data')
  })

  test('completes, and prints the script for it', async () => {
    const [script, words] = await Promise.all([
      spawned(['completion'], { env: { SHELL: '/bin/bash' } }),
      spawned(['--get-yargs-completions', 'migrate', '']),
    ])
    expect(script).toMatchObject({ code: 0, stdout: containing('complete -o bashdefault') })
    expect(words.stdout.split('\n').filter(Boolean)).toEqual(['up', 'down', 'status', 'verify', 'new'])
  })

  test('ends with the code of what happened, and with --json gives a document and nothing else', async () => {
    const env = { DATABASE_URL: database.adminUrl }
    const [found, failed, wrong] = await Promise.all([
      spawned(['proof', '--json'], { env }),
      spawned(['migrate', 'down', '--json'], { env }),
      spawned(['migrate', 'up', '--no-such-thing'], { env }),
    ])
    expect(found).toMatchObject({ code: 3, stderr: '' })
    expect(found.json()).toMatchObject({ role: 'tenantry_app' })
    expect(failed).toMatchObject({ code: 1, stderr: containing('--yes') })
    expect(failed.json()).toMatchObject({ error: { code: 'migration' } })
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
  })

  test('runs to its end when its output is closed', async () => {
    const child = start(['check'], { cwd: tmpdir() })
    child.stdout.destroy()
    child.stderr.destroy()
    expect(await once(child, 'close')).toEqual([0, null])
  })

  test('an interruption rolls back the running transaction at once', async () => {
    const cwd = await endlessProject()
    const child = start(['migrate', 'up'], { cwd, env: { ...process.env, DATABASE_ADMIN_URL: database.adminUrl } })
    await vi.waitFor(async () => {
      expect(await sleepers()).toHaveLength(1)
    }, 60_000)
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([130, null])
    expect(await sleepers()).toEqual([])
    expect(await database.admin.query("select to_regclass('endless.t') as name")).toEqual([{ name: null }])
  })
})

describe('on a terminal', () => {
  // util-linux gives a command a terminal; the one of BSD has other options.
  const found = spawnSync('script', ['--version'], { encoding: 'utf8' })

  const hasTerminal = found.status === 0 && found.stdout.includes('util-linux')

  const onTerminal = (args: readonly string[], cwd: string, env: Record<string, string> = {}) => {
    const line = [process.execPath, ...bin(), ...args].map((word) => `'${word}'`).join(' ')
    // It would have no width otherwise.
    return spawn('script', ['-qec', `stty cols 200; ${line}`, '/dev/null'], {
      cwd,
      env: { PATH: process.env.PATH, TERM: 'xterm', DATABASE_ADMIN_URL: database.adminUrl, ...env },
      stdio: 'pipe',
    })
  }

  test.runIf(hasTerminal)('each migration is a bar, and down asks first', async () => {
    const up = onTerminal(['migrate', 'up'], example)
    expect(await text(up.stdout)).toMatch(/◇.* own 0000_tickets applied/)

    const down = onTerminal(['migrate', 'down'], example)
    let asked = ''
    down.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      asked += chunk
    })
    await vi.waitFor(() => {
      expect(asked).toContain('Go on?')
    }, 60_000)
    down.stdin.write('\r')
    expect(await once(down, 'close')).toEqual([1, null])
    expect(asked).toContain('own 0000_tickets')
    expect(asked).toContain('Nothing was done')
    expect(
      await tenantry(['migrate', 'status'], { cwd: example, env: { DATABASE_URL: database.adminUrl } }),
    ).toMatchObject({
      stdout: containing('own: 1 applied'),
    })
  })

  test.runIf(hasTerminal)('Ctrl-C during a bar is an interruption, not a success', async () => {
    // A database with another project's migrations would be refused.
    const env = { DATABASE_URL: database.adminUrl }
    await tenantry(['migrate', 'down', '--set', 'own', '--all', '--yes'], { cwd: example, env })
    const child = onTerminal(['migrate', 'up'], await endlessProject())
    child.stdout.resume()
    await vi.waitFor(async () => {
      expect(await sleepers()).toHaveLength(1)
    }, 60_000)
    child.stdin.write('\u0003')
    expect(await once(child, 'close')).toEqual([130, null])
    expect(await sleepers()).toEqual([])
  })
})

describe('where it connects to', () => {
  const connect = (env: Record<string, string>, ...args: string[]) => tenantry(['migrate', 'status', ...args], { env })

  test('DATABASE_ADMIN_URL, else DATABASE_URL, else it says what to set', async () => {
    const { adminUrl } = database
    expect(await connect({ DATABASE_ADMIN_URL: adminUrl, DATABASE_URL: 'postgres://127.0.0.1:1/x' })).toMatchObject({
      code: 0,
    })
    expect(await connect({ DATABASE_ADMIN_URL: '', DATABASE_URL: adminUrl })).toMatchObject({ code: 0 })
    const nowhere = await connect({})
    expect(nowhere).toMatchObject({ code: 2, stdout: '' })
    expect(nowhere.stderr).toMatch(/^DATABASE_ADMIN_URL: is not set.*--embedded/)
  })

  test('no password is in what it says when it cannot connect', async () => {
    const wrong = new URL(database.adminUrl)
    // A server that trusts everybody on this machine asks for no password, but it does know its logins.
    wrong.username = 'nobody_of_that_name'
    wrong.password = 'not-this-one'
    const said = await Promise.all([
      connect({ DATABASE_URL: wrong.href }, '--json'),
      connect({ DATABASE_URL: 'postgres://me:not-this-one@127.0.0.1:1/shop' }),
      connect({ DATABASE_URL: 'mysql://me:not-this-one@127.0.0.1/shop' }),
      connect({ DATABASE_URL: 'postgres://me:not-this-one@127.0.0.1:port/shop' }),
      tenantry(['proof', 'postgres://me:not-this-one@127.0.0.1/shop']),
      tenantry(['proof', '--url', 'postgres://127.0.0.1:1/shop?password=not-this-one']),
    ])
    expect(said.map(({ code }) => code)).toEqual([1, 1, 2, 2, 2, 1])
    expect(said[0].stderr).toMatch(/password authentication failed|role "nobody_of_that_name" does not exist/)
    expect(said[2].stderr).toContain('DATABASE_URL: has a scheme other than postgres or postgresql')
    expect(said[1].stderr).toContain('database shop on 127.0.0.1:1 as me (DATABASE_URL)')
    for (const { stdout, stderr } of said) expect(stdout + stderr).not.toContain('not-this-one')
  })

  test('--embedded overrides the environment, and keeps the data in that directory', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tenantry-embedded-'))
    onTestFinished(() => {
      rmSync(directory, { recursive: true })
    })
    const here = (...args: string[]) =>
      tenantry([...args, '--embedded', 'data', '--json'], {
        cwd: directory,
        env: { DATABASE_ADMIN_URL: 'postgres://127.0.0.1:1/x' },
      })
    const up = await here('migrate', 'up')
    expect(up).toMatchObject({ code: 0, stderr: containing('tenantry 0001_people applied') })
    expect(up.json()).toMatchObject({
      applied: containingTag('0001_people'),
      bootstrap: { remaining: [], advised: [] },
    })
    expect((await here('partitions', 'ensure', '--months', '3')).json()).toMatchObject({ made: { length: 4 } })
  })
})

const containingTag = (tag: string) => expect.arrayContaining([{ set: 'tenantry', tag }]) as unknown[]
