import { newId } from '../../src/core/ids.js'

/** A property that somebody else's code has put on `Object.prototype`. */
export interface Pollution {
  readonly name: string
  readonly value: unknown
  readonly enumerable: boolean
}

/** Pollutes every object. Gives what takes it back, which belongs into a `finally`. */
export function polluted({ name, value, enumerable }: Pollution): () => void {
  if (name in Object.prototype) throw new Error(`Object.prototype has ${name} already`)
  Object.defineProperty(Object.prototype, name, { value, enumerable, configurable: true, writable: true })
  return () => {
    Reflect.deleteProperty(Object.prototype, name)
  }
}

const refuse = (): never => {
  throw new Error('inherited, and called')
}

const call = { statement: { name: '', text: 'select 1' }, values: [] }

/** Names that the core reads from objects that may lack them, each with a value that would change what is sent. */
const values: Readonly<Record<string, unknown>> = {
  orgId: newId(),
  id: newId(),
  limit: 1,
  after: 'after',
  before: 'before',
  orderBy: 'name',
  filter: { name: 'inherited' },
  role: 'owner',
  managed: { name: 'inherited' },
  only: { when: 'false', refuse },
  existing: { properties: ['name'] },
  sets: ['name'],
  upsert: { changes: 'true' },
  event: 'inherited',
  where: 'false',
  through: { table: {}, property: 'id' },
  revision: 99,
  retries: -1,
  isolation: 'serializable',
  readOnly: true,
  reenter: true,
  signal: AbortSignal.abort(),
  actor: 'nobody',
  request: 'nothing',
  authorize: refuse,
  audit: refuse,
  reserve: refuse,
  why: call,
  params: ['inherited'],
  values: ['inherited'],
  text: 'select 1',
  name: 'inherited',
  model: 'inherited',
  workflowId: newId(),
  dedupeKey: 'inherited',
  projectId: newId(),
  parentId: newId(),
  status: 'active',
  rows: [['inherited']],
  audited: true,
}

export const pollutions: readonly Pollution[] = Object.entries(values).flatMap(([name, value]) =>
  [true, false].map((enumerable) => ({ name, value, enumerable })),
)
