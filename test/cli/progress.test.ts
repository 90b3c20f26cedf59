import { PassThrough, Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { openConsole } from '../../src/cli/console.js'
import { withProgress } from '../../src/cli/progress.js'

const file = { set: 'tenantry', tag: '0001_people', direction: 'up' } as const

/** What is said on stdout and stderr while `work` reports. */
async function said(json: boolean, work: Parameters<typeof withProgress<unknown>>[1]) {
  const streams = { stdin: Readable.from([]), stdout: new PassThrough(), stderr: new PassThrough() }
  await withProgress(openConsole(streams, json), work).catch(() => undefined)
  const read = (stream: PassThrough) => String((stream.read() as Buffer | null) ?? '')
  return { stdout: read(streams.stdout), stderr: read(streams.stderr) }
}

test('each finished file prints a line, and so does each delay', async () => {
  const { stdout, stderr } = await said(false, async ({ onProgress }) => {
    await onProgress({ kind: 'waiting', holder: 'server process 7' })
    await onProgress({ kind: 'running', ...file, done: 0, of: 2 })
    await onProgress({ kind: 'retrying', ...file, attempt: 1, of: 10 })
    await onProgress({ kind: 'running', ...file, done: 2, of: 2 })
    await onProgress({ kind: 'finished', ...file })
    await onProgress({ kind: 'finished', ...file, direction: 'down' })
  })
  expect(stdout.split('\n')).toEqual([
    'waiting for another migrator: server process 7',
    'tenantry 0001_people: a lock was not free, attempt 1 of 10',
    'tenantry 0001_people applied',
    'tenantry 0001_people undone',
    '',
  ])
  expect(stderr).toBe('')
})

test('with --json the lines leave stdout to the document, and a file that fails is not called done', async () => {
  const { stdout, stderr } = await said(true, async ({ onProgress }) => {
    await onProgress({ kind: 'finished', ...file })
    await onProgress({ kind: 'running', ...file, tag: '0002_access', done: 1, of: 2 })
    throw new Error('refused')
  })
  expect(stdout).toBe('')
  expect(stderr).toBe('tenantry 0001_people applied\n')
})
