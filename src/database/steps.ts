import { randomInt } from 'node:crypto'
import type { BeginOptions, Binding, Call, Statement } from '../core/executor.js'
import { statement } from '../core/statement.js'

/** One statement of a pipeline. Those of the library itself (`own`) are not guarded, and their rows are not returned. */
export interface Step extends Call {
  readonly own: boolean
  /** What the last column of the step's only row must be. */
  readonly token?: string
}

const own = (statement: Statement, values: readonly unknown[] = []): Step => ({ statement, values, own: true })

const enterOrg = statement('select platform.enter_org($1::uuid), $2::text', 'read')
const enterUser = statement('select platform.enter_user($1::uuid), $2::text', 'read')

// Each process starts at a random number, because processes may share a pooler.
let token = randomInt(2 ** 47)

/**
 * Binds the transaction, or checks that it is still bound to the same owner. The server sends the token back, so that the answer to
 * another call is never taken for the answer to this one.
 */
export function enter(binding: Binding): Step[] {
  switch (binding.kind) {
    case 'org':
      return [entering(enterOrg, binding.id)]
    case 'user':
      return [entering(enterUser, binding.id)]
    case 'system':
      return []
  }
}

function entering(statement: Statement, id: string): Step {
  const sent = String(++token)
  return { statement, values: [id, sent], own: true, token: sent }
}

export const asked = ({ statement, values }: Call): Step => ({ statement, values, own: false })

/** The steps of a call: itself, and what a cluster needs in front of it. */
export type Asking = (call: Call) => readonly Step[]

/** Whether an unanswered call may have changed rows. */
export const mayChange = ({ statement }: Call): boolean => statement.effect !== 'read'

const begins = new Map<string, Step>()

export function begin({ isolation, readOnly }: BeginOptions): Step {
  const text = `begin${isolation ? ` isolation level ${isolation}` : ''}${readOnly ? ' read only' : ''}`
  const known = begins.get(text)
  if (known !== undefined) return known
  const made = own(statement(text, 'read'))
  begins.set(text, made)
  return made
}

export const setReadOnly = own(statement('set transaction read only', 'read'))
export const commit = own(statement('commit', 'read'))
export const rollback = own(statement('rollback', 'read'))

const unnamed = (text: string): Step => own({ name: '', text, effect: 'read' })

// Unnamed: each savepoint has a text of its own.
export const savepoint = (name: string): Step => unnamed(`savepoint ${name}`)
export const release = (name: string): Step => unnamed(`release savepoint ${name}`)
export const rollbackTo = (name: string): Step => unnamed(`rollback to savepoint ${name}`)
