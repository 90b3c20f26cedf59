import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { UnavailableError } from '../core/errors.js'

/** How often two processes that try at the same moment both step back. */
const attempts = 8

/**
 * Locks a directory for this process, by an empty file beside it. The name of the file says who holds the lock, so a process only ever
 * removes its own file or that of a process that is gone. Each process writes its file before it looks for others: of two that
 * try at once, at least one sees the other.
 */
export async function lockDirectory(directory: string): Promise<() => void> {
  const place = dirname(directory)
  const prefix = `${basename(directory)}.lock.`
  const mine = `${prefix}${process.pid}-${ownStart()}`
  const remove = (): void => {
    rmSync(join(place, mine), { force: true })
  }
  mkdirSync(place, { recursive: true })
  for (let attempt = 1; ; attempt++) {
    try {
      writeFileSync(join(place, mine), '', { flag: 'wx' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw inUse(directory, process.pid)
      throw error
    }
    let other: number | undefined
    try {
      other = otherHolder(place, prefix, mine)
    } catch (error) {
      remove()
      throw error
    }
    if (other === undefined) return once(remove)
    remove()
    if (attempt === attempts) throw inUse(directory, other)
    await setTimeout(Math.random() * 5 * attempt)
  }
}

/** A second call could remove the file of a later holder in this process. */
function once(work: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) work()
    isDone = true
  }
}

const inUse = (directory: string, pid: number): UnavailableError =>
  new UnavailableError(`the embedded database in ${directory} is in use by process ${pid}`)

/** The number of another process that holds the lock. Removes the files of processes that are gone. */
function otherHolder(place: string, prefix: string, mine: string): number | undefined {
  for (const name of readdirSync(place)) {
    const found = name.startsWith(prefix) ? /^(\d+)-(t?\d+)$/.exec(name.slice(prefix.length)) : null
    const [, pid, start] = found ?? []
    if (pid === undefined || start === undefined || name === mine) continue
    if (isAlive(Number(pid), start)) return Number(pid)
    rmSync(join(place, name), { force: true })
  }
  return undefined
}

/** Numbers of processes are used again, so a process counts as the same only if it also began at the same time. */
function isAlive(pid: number, start: string): boolean {
  if (pid === process.pid) return start === ownStart()
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return start.startsWith('t') || (startOf(pid) ?? start) === start
}

/** The same in every thread of this process. */
const ownStart = (): string => startOf(process.pid) ?? `t${Math.floor(performance.timeOrigin)}`

/** When the process began, in a unit of the system's own. Undefined where the system does not tell. */
function startOf(pid: number): string | undefined {
  try {
    // The name of the program, in brackets, may hold blanks and brackets. The 20th field after it is the start.
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return status.slice(status.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
