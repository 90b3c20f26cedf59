import { setTimeout as pause } from 'node:timers/promises'
import type { Session } from '../database/session.js'
import { failed } from '../database/session-failure.js'

/** The statements that were run, and those that this session may not run: SQL for somebody with the right to. */
export interface CarriedOut {
  readonly done: readonly string[]
  readonly remaining: readonly string[]
}

export interface CarryOutOptions {
  /** How many milliseconds a statement waits for a table lock, before everything is rolled back and tried again. */
  readonly lockTimeout?: number
}

/** Reads the catalogs and returns the statements that the database still lacks: none when all is right. */
export type Plan = (session: Session) => Promise<string[]>

/** Returns the statements that a query over the catalogs builds. */
export async function statements(session: Session, text: string, params: readonly unknown[] = []): Promise<string[]> {
  return (await session.query<{ statement: string }>(text, params)).map(({ statement }) => statement)
}

/**
 * Runs the statements of the plan in one transaction, each as far as it is allowed, and then runs the plan again. What it still
 * returns was not done, whatever the server answered: a REVOKE of a right that another role granted only warns.
 */
export async function carryOut(
  session: Session,
  what: string,
  plan: Plan,
  { lockTimeout }: CarryOutOptions = {},
): Promise<CarriedOut> {
  for (let round = 1; ; round += 1) {
    try {
      return await once(session, plan, lockTimeout)
    } catch (error) {
      if (!isRace(error) || round === 10) throw failed(what, error)
      await pause(Math.random() * 50 * round)
    }
  }
}

async function once(session: Session, plan: Plan, lockTimeout: number | undefined): Promise<CarriedOut> {
  await session.query('begin')
  try {
    if (lockTimeout !== undefined) await session.query(`set local lock_timeout = ${lockTimeout}`)
    const tried = new Set<string>()
    let isDenied = false
    let remaining = await plan(session)
    // Repeated as long as the plan returns new statements: a REVOKE on a table also revokes rights on its columns.
    for (let due = remaining; due.length > 0; due = remaining.filter((statement) => !tried.has(statement))) {
      for (const statement of due) {
        isDenied = !(await attempt(session, statement, isDenied)) || isDenied
        tried.add(statement)
      }
      remaining = await plan(session)
    }
    await session.query('commit')
    return { done: [...tried].filter((statement) => !remaining.includes(statement)), remaining }
  } catch (error) {
    // If the connection failed, its end has rolled back.
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}

/** False when the session may not run the statement. A later statement may then lack an object that this one would have made. */
async function attempt(session: Session, statement: string, afterDenied: boolean): Promise<boolean> {
  await session.query('savepoint attempt')
  try {
    await session.query(statement)
    await session.query('release savepoint attempt')
    return true
  } catch (error) {
    const code = codeOf(error)
    if (code !== '42501' && !(afterDenied && code === '42704')) throw error
    await session.query('rollback to savepoint attempt')
    return false
  }
}

// Roles belong to the whole cluster, so work on another of its databases can conflict, whatever lock is held here: unique_violation
// and duplicate_object (the role was just made), deadlock_detected, serialization_failure. lock_not_available comes only where a
// lock_timeout was set.
const races = new Set(['23505', '42710', '40P01', '40001', '55P03'])

const isRace = (error: unknown) =>
  races.has(codeOf(error)) || (error instanceof Error && /^tuple concurrently (updated|deleted)$/.test(error.message))

function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
