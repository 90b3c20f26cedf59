import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks } from '../../scripts/code-blocks.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { compile } from '../support/compiled.js'
import { commandsIn } from '../support/shell-commands.js'
import { root, run } from './installed.js'
import { installTarball } from './packed.js'

// What a new user does: the commands of the README in their order, and then the server of docs/requests.md, in a folder that has the
// packed package and a table of its own.
const emptyDatabase = useEmptyDatabases()
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const commands = commandsIn(read('README.md')).filter((command) => command.startsWith('npx tenantry '))
/** What the commands print and are given, as an environment has it. */
const env: Record<string, string> = { TENANTRY_KEYS: `k1:${randomBytes(32).toString('base64')}` }
let application: string
let logins: string
/** The token of the README's key. */
let acme: string
let address: string
let stop: () => void = () => undefined

beforeAll(async () => {
  application = await installTarball()
  link('.bin/tenantry', join(application, 'node_modules/tenantry/dist/cli/main.js'))
  for (const name of ['hono', '@hono/node-server']) link(name, join(root, 'node_modules', name))
  for (const path of ['tenantry.config.ts', 'src', 'drizzle'])
    cpSync(join(root, 'examples/your-own-tables', path), join(application, path), { recursive: true })

  const { url } = await emptyDatabase()
  // Named so that the next run of the tests drops them.
  logins = new URL(url).pathname.slice(1, 27)
  env.DATABASE_ADMIN_URL = url
  for (const command of commands) [acme = ''] = (await npx(command)).split('\n')
  address = await startServer()
})
afterAll(() => {
  stop()
  rmSync(application, { recursive: true })
})

function link(name: string, to: string): void {
  const place = join(application, 'node_modules', name)
  mkdirSync(dirname(place), { recursive: true })
  symlinkSync(to, place)
}

/** Runs a command of the README, but for the names of logins, which all databases of the server share. */
async function npx(command: string): Promise<string> {
  const said = await tenantry(...command.replace(/\bapp_(login|jobs)\b/, `${logins}_served_$1`).split(' '))
  for (const [, name = '', value = ''] of said.matchAll(/^([A-Z_]+_URL)=(\S+)$/gm)) env[name] = value
  return said
}

const tenantry = (...command: string[]) =>
  run(application, 'env', ...Object.entries(env).map((pair) => pair.join('=')), ...command)

/** The server of the document, in a process of its own, until the tests are over. */
async function startServer(): Promise<string> {
  const server = codeBlocks('docs/requests.md', read('docs/requests.md')).find(({ text }) => text.includes('serve('))
  writeFileSync(join(application, 'src/server.ts'), server?.text ?? '')
  await compile(join(application, 'src'), join(application, 'dist'))
  const child = spawn(process.execPath, ['dist/server.js'], {
    cwd: application,
    env: { PATH: process.env.PATH, DATABASE_URL: env.DATABASE_URL, TENANTRY_KEYS: env.TENANTRY_KEYS, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  stop = () => child.kill()
  for await (const line of createInterface(child.stdout)) return line
  throw new Error('the server ended')
}

/** A key with other options than those of the README. Without npx, which takes a second to start. */
async function newKey(org: string, options: string): Promise<string> {
  const words = ['key', 'create', '--org', org, ...options.split(' ')]
  const [token = ''] = (await tenantry('node_modules/.bin/tenantry', ...words)).split('\n')
  return token
}

async function ask(key: string, method: string, path: string, body?: object) {
  const response = await fetch(`${address}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

test('the README makes the database, its logins, an organization and a key', () => {
  expect(commands).toEqual([
    'npx tenantry migrate up',
    'npx tenantry seed',
    'npx tenantry login create app_login',
    'npx tenantry login create app_jobs --system',
    'npx tenantry org create acme --owner ada@acme.example',
    'npx tenantry key create --org acme --name ci --role developer --scopes agents:read,agents:write',
  ])
  expect(Object.keys(env)).toEqual(['TENANTRY_KEYS', 'DATABASE_ADMIN_URL', 'DATABASE_URL', 'SYSTEM_DATABASE_URL'])
})

test('the token of npx tenantry key create --org acme --name ci --role developer --scopes agents:read,agents:write opens acme alone', async () => {
  expect(await ask(acme, 'POST', '/agents', { name: 'Ada', username: 'ada' })).toMatchObject({ status: 201 })
  expect(await ask(acme, 'GET', '/agents')).toMatchObject({ status: 200, body: { items: [{ username: 'ada' }] } })

  await tenantry('node_modules/.bin/tenantry', ...'org create globex --owner grace@globex.example'.split(' '))
  const globex = await newKey('globex', '--name ci --role developer --scopes agents:read,agents:write')
  expect(await ask(globex, 'GET', '/agents')).toEqual({ status: 200, body: { items: [] } })
  expect(await ask('no key', 'GET', '/agents')).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
})

test('a body that is no JSON is a mistake of the client', async () => {
  const headers = { authorization: `Bearer ${acme}`, 'content-type': 'application/json' }
  for (const path of ['/agents', '/tickets']) {
    expect(await fetch(`${address}${path}`, { method: 'POST', headers, body: '{' })).toMatchObject({ status: 400 })
  }
})

test('a key without a permission is refused, whether its scopes lack it or the role of its member', async () => {
  const [scoped, guest] = await Promise.all([
    newKey('acme', '--name reader --role developer --scopes agents:read'),
    newKey('acme', '--name guest --role customer --scopes agents:read,agents:write'),
  ])
  const refused = { status: 403, body: { code: 'forbidden', detail: 'this needs the permission agents:write' } }
  expect((await ask(scoped, 'GET', '/agents')).status).toBe(200)
  expect(await ask(scoped, 'POST', '/agents', { name: 'Eve', username: 'eve' })).toMatchObject(refused)

  expect((await ask(guest, 'GET', '/agents')).status).toBe(200)
  expect(await ask(guest, 'POST', '/agents', { name: 'Eve', username: 'eve' })).toMatchObject(refused)
})

test('a permission of tenantry.config.ts is held by the owner, and by a member as far as the config says', async () => {
  const scopes = '--scopes tickets:read,tickets:write'
  const [owner, member, developer] = await Promise.all([
    newKey('acme', `--name owner --member ada@acme.example ${scopes}`),
    newKey('acme', `--name member --role member ${scopes}`),
    newKey('acme', `--name developer --role developer ${scopes},agents:read`),
  ])
  const ticket = { subject: 'It is dark in here' }
  expect(await ask(owner, 'POST', '/tickets', ticket)).toMatchObject({ status: 201, body: ticket })
  expect(await ask(owner, 'GET', '/tickets')).toMatchObject({ status: 200, body: { items: [ticket] } })
  expect(await ask(member, 'GET', '/tickets')).toMatchObject({ status: 200, body: { items: [ticket] } })
  expect(await ask(member, 'POST', '/tickets', ticket)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  expect(await ask(developer, 'GET', '/tickets')).toMatchObject({ status: 403, body: { code: 'forbidden' } })
})
