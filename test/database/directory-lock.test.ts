import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { UnavailableError } from '../../src/core/errors.js'
import { lockDirectory } from '../../src/database/directory-lock.js'
import { compiled } from '../support/compiled.js'

const run = promisify(execFile)

function newDirectory(): string {
  const place = mkdtempSync(join(tmpdir(), 'tenantry-lock-'))
  onTestFinished(() => {
    rmSync(place, { recursive: true })
  })
  return join(place, 'data')
}

const files = (directory: string): string[] => readdirSync(dirname(directory))

/** The name of the file with which this process locks the directory. */
async function fileOf(directory: string): Promise<string> {
  const release = await lockDirectory(directory)
  const [file = ''] = files(directory)
  release()
  return file
}

/** The number of a process that has ended. */
async function endedProcess(): Promise<string> {
  const { stdout } = await run(process.execPath, ['-p', 'process.pid'])
  return stdout.trim()
}

test('a lock has one holder in a process, and is free again after it', async () => {
  const directory = newDirectory()
  const release = await lockDirectory(directory)
  await expect(lockDirectory(directory)).rejects.toThrow(UnavailableError)
  release()
  const later = await lockDirectory(directory)
  release()
  await expect(lockDirectory(directory)).rejects.toThrow(`is in use by process ${process.pid}`)
  later()
  expect(files(directory)).toEqual([])
})

test('a lock of an earlier process with the number of this one, and of one that has ended, is taken over', async () => {
  const directory = newDirectory()
  const file = await fileOf(directory)
  const [mine, earlier] = [String(process.pid), `${file}0`]
  const ended = file.replace(mine, await endedProcess())
  for (const left of [earlier, ended]) writeFileSync(join(dirname(directory), left), '')
  const release = await lockDirectory(directory)
  expect(files(directory)).toEqual([file])
  release()
})

test('a lock of a running process is refused', async () => {
  const directory = newDirectory()
  const file = await fileOf(directory)
  const parent = String(process.ppid)
  const begun = file.replace(String(process.pid), parent).replace(/-\d+$/, '-t1')
  writeFileSync(join(dirname(directory), begun), '')
  await expect(lockDirectory(directory)).rejects.toThrow(`is in use by process ${parent}`)
  expect(files(directory)).toEqual([begun])
})

test.runIf(existsSync('/proc/self/stat'))(
  'a lock of a process whose number a running one has now is taken over',
  async () => {
    const directory = newDirectory()
    const file = await fileOf(directory)
    const ended = file.replace(String(process.pid), String(process.ppid)).replace(/-\d+$/, '-1')
    writeFileSync(join(dirname(directory), ended), '')
    const release = await lockDirectory(directory)
    expect(files(directory)).toEqual([file])
    release()
  },
)

test.each(['', String(process.pid)])('a file that only looks like a lock does not lock: %j', async (content) => {
  const directory = newDirectory()
  writeFileSync(`${directory}.lock`, content)
  const release = await lockDirectory(directory)
  release()
})

test('of processes that take over the same lock at once, one at a time has it, and it is free in the end', async () => {
  const directory = newDirectory()
  const file = await fileOf(directory)
  const stale = join(dirname(directory), file.replace(String(process.pid), await endedProcess()))
  const takers = [1, 2, 3].map(() =>
    run(process.execPath, [compiled('test/database/take-lock.js'), directory, '150', stale]),
  )
  const taken = (await Promise.all(takers)).map(({ stdout }) => Number(stdout))
  expect(taken.reduce((sum, each) => sum + each)).toBeGreaterThan(0)
  const release = await lockDirectory(directory)
  expect(files(directory)).toEqual([file])
  release()
})
