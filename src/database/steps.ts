import { type BeginOptions, type Binding, type Call, type Statement, statement } from '../core/executor.js'

/** One statement of a batch. Our own ones, around the caller's, have texts that need no guard and rows that nobody wants. */
export interface Step extends Call {
  readonly own: boolean
}

const own = (statement: Statement, values: readonly unknown[] = []): Step => ({ statement, values, own: true })

const enterOrg = statement('select platform.enter_org($1)', 'read')
const enterUser = statement('select platform.enter_user($1)', 'read')

/** Binds the transaction, or makes sure that it is still bound to the same. */
export function enter(binding: Binding): Step[] {
  switch (binding.kind) {
    case 'org':
      return [own(enterOrg, [binding.id])]
    case 'user':
      return [own(enterUser, [binding.id])]
    case 'system':
      return []
  }
}

export const asked = ({ statement, values }: Call): Step => ({ statement, values, own: false })

/** Whether a call that was sent and not answered may have changed rows. */
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

// Without names, for there are as many texts as savepoints.
export const savepoint = (name: string): Step => unnamed(`savepoint ${name}`)
export const release = (name: string): Step => unnamed(`release savepoint ${name}`)
export const rollbackTo = (name: string): Step => unnamed(`rollback to savepoint ${name}`)
