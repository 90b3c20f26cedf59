import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import { startEmbeddedServer } from '../../src/testing/embedded-server.js'
import type { FoundServer } from '../../src/testing/found-server.js'
import { prepareTemplate } from '../../src/testing/template.js'
import { compiled } from '../support/compiled.js'

let temporary: string
let server: FoundServer
let session: Session
let directory: string

beforeAll(async () => {
  // Only its owner may enter it, so that root has to find another place for the files of the server.
  temporary = await mkdtemp(join(tmpdir(), 'tenantry-test-'))
  vi.stubEnv('TMPDIR', temporary)
  vi.stubEnv('TZ', 'Asia/Tokyo')
  server = await startEmbeddedServer()
  session = await openSession({ url: server.url })
  directory = await directoryOf(session)
})

afterAll(async () => {
  await session.close()
  await server.stop()
  vi.unstubAllEnvs()
  await rm(temporary, { recursive: true })
})

test('the server is there for this machine only, asks for a password, and is not root', async () => {
  expect(await settings(session)).toEqual({
    addresses: '127.0.0.1',
    sockets: '',
    fsync: 'off',
    encoding: 'UTF8',
    zone: 'UTC',
  })
  await expect(openSession({ url: server.url.replace(/:[^:]+@/, ':wrong@') })).rejects.toThrow('password')
  expect((await stat(join(directory, 'data'))).uid).not.toBe(0)
})

test('a migrate that migrates nothing is told what it must run', async () => {
  const made = prepareTemplate(server.url, () => Promise.resolve())
  await expect(made).rejects.toThrow('must run `tenantry migrate up`')
})

test(
  'the server of a killed process stops, and the next start removes its files, but not those of a living one',
  { timeout: 90_000 },
  async () => {
    const holder = spawn(process.execPath, [compiled('test/testing/hold-server.js')])
    const [output] = (await once(holder.stdout, 'data')) as [Buffer]
    const url = output.toString()
    const held = await openSession({ url })
    const heldDirectory = await directoryOf(held)
    await held.close()

    holder.kill('SIGKILL')
    await once(holder, 'exit')
    await expect.poll(() => answers(url), { timeout: 20_000 }).toBe(false)
    const next = await startEmbeddedServer()
    expect(existsSync(heldDirectory)).toBe(false)
    expect(existsSync(directory)).toBe(true)

    await next.stop()
  },
)

test('a server that has gone away by itself leaves no files behind either', { timeout: 90_000 }, async () => {
  const gone = await startEmbeddedServer()
  const witness = await openSession({ url: gone.url })
  const goneDirectory = await directoryOf(witness)
  const [pid] = (await readFile(join(goneDirectory, 'data', 'postmaster.pid'), 'utf8')).split('\n')
  process.kill(Number(pid), 'SIGQUIT')
  await expect.poll(() => answers(gone.url)).toBe(false)
  await witness.close()

  await gone.stop()
  expect(existsSync(goneDirectory)).toBe(false)
})

async function directoryOf(session: Session): Promise<string> {
  const [row] = await session.query<{ data_directory: string }>('show data_directory')
  return dirname(row?.data_directory ?? '')
}

async function settings(session: Session): Promise<unknown> {
  const [row] = await session.query(`
    select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
      current_setting('fsync') as fsync, current_setting('server_encoding') as encoding, current_setting('timezone') as zone`)
  return row
}

async function answers(url: string): Promise<boolean> {
  try {
    await (await openSession({ url })).close()
    return true
  } catch {
    return false
  }
}
