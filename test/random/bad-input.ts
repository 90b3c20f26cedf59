import fc from 'fast-check'
import { InvalidCursorError, InvalidInputError, InvalidOrgIdError, TenantryError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Session } from '../../src/database/session.js'
import { openWithout } from '../../src/testing/walls.js'
import { organizationTables, sqlOf } from '../support/every-table.js'
import { entries } from './bad-input-calls.js'
import { type Entry, makeSide, type Side } from './bad-input-side.js'
import { type Hostile, hostile, hostileKey } from './hostile.js'

export interface BadInputRun {
  readonly appUrl: string
  readonly admin: Session
  readonly inputs: number
  readonly seed: number
  readonly entries?: readonly Entry[]
  readonly onEntry?: (name: string, inputs: number) => void
}

export interface BadInputReport {
  readonly seed: number
  readonly inputs: number
  /** How many ended how: `done`, or the class of an error. */
  readonly outcomes: Readonly<Record<string, number>>
  /** In words; empty when every input ended as it should. */
  readonly faults: readonly string[]
}

/** Arguments that are right but in one or two places, for every method. Each ends in a typed error, or is right after all. */
export async function badInputs(run: BadInputRun): Promise<BadInputReport> {
  const { admin, seed, onEntry } = run
  const { tenancy, count } = await openWithout(run)
  const outcomes = new Map<string, number>()
  const faults: string[] = []
  const tried = run.entries ?? entries
  const each = Math.ceil(run.inputs / tried.length)
  const theirs = await makeSide(tenancy, admin)
  const before = await photograph(admin, theirs)
  let inputs = 0
  for (const entry of tried) {
    const ours = await makeSide(tenancy, admin)
    const property = fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 2 }), async (mutations) => {
      inputs++
      const args = mutated(entry.args(ours), mutations, theirs)
      const sent = count()
      const outcome = await settled(() => entry.call(ours, args))
      const { name, fault } = outcomeOf(outcome, () => count() - sent, entry.asksFirst)
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
      if (fault !== undefined) throw new Error(fault)
    })
    const { failed, counterexample, errorInstance } = await fc.check(property, { numRuns: each, seed })
    if (failed) {
      const described = counterexample?.[0].map(describe).join(', and ') ?? ''
      faults.push(`${entry.name}, ${described}: ${String(errorInstance)}`)
    }
    onEntry?.(entry.name, inputs)
  }
  if ((await photograph(admin, theirs)) !== before) faults.push('rows of another organization have changed')
  await tenancy.close({ drain: 0 })
  return { seed, inputs, outcomes: Object.fromEntries([...outcomes].sort()), faults }
}

interface Settled {
  readonly error?: unknown
  readonly hangs?: boolean
}

const patience = 60_000

/** Whether it throws, rejects or gives a stream does not matter. */
async function settled(work: () => unknown): Promise<Settled> {
  let timer: NodeJS.Timeout | undefined
  const hanging = new Promise<Settled>((resolve) => {
    timer = setTimeout(resolve, patience, { hangs: true })
  })
  try {
    return await Promise.race([collected(work), hanging])
  } catch (error) {
    return { error }
  } finally {
    clearTimeout(timer)
  }
}

async function collected(work: () => unknown): Promise<Settled> {
  const value = await work()
  if (typeof value === 'object' && value !== null && Symbol.asyncIterator in value) {
    for await (const row of value as AsyncIterable<unknown>) if (row === undefined) break
  }
  return {}
}

function outcomeOf(settled: Settled, sent: () => number, asksFirst = false): { name: string; fault?: string } {
  if (settled.hangs) return { name: 'hangs', fault: `no answer after ${patience} ms` }
  if (!('error' in settled)) return { name: 'done' }
  const { error } = settled
  if (!(error instanceof TenantryError)) {
    return {
      name: 'untyped',
      fault: `an error that is none of ours: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
    }
  }
  const isRefused =
    error instanceof InvalidInputError || error instanceof InvalidCursorError || error instanceof InvalidOrgIdError
  if (isRefused && !asksFirst && sent() > 0)
    return { name: error.name, fault: `refused after ${sent()} round trips: ${error.message}` }
  if (error.code === 'query' || error.code === 'isolation')
    return { name: error.name, fault: `the database had to refuse it: ${error.message}` }
  return { name: error.name }
}

/** Every byte of an organization, in every table. */
async function photograph(admin: Session, { org }: Side): Promise<string> {
  const ofTables = organizationTables.map((table) => `select t::text from ${sqlOf(table)} t where org_id = $1`)
  const rows = await admin.query(
    [...ofTables, 'select t::text from platform.organizations t where id = $1'].join(' union all ') + ' order by 1',
    [org.id],
  )
  return JSON.stringify(rows)
}

type Way = 'replace' | 'add' | 'drop' | 'inherit' | 'damage' | 'steal' | 'shorten'

interface Mutation {
  readonly way: Way
  readonly place: number
  readonly key: string
  readonly value: Hostile
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  way: fc.oneof(
    { weight: 5, arbitrary: fc.constant<Way>('replace') },
    { weight: 5, arbitrary: fc.constantFrom<Way>('add', 'drop', 'inherit', 'damage', 'steal', 'shorten') },
  ),
  place: fc.nat(),
  key: hostileKey,
  value: hostile,
})

const describe = ({ way, place, key, value }: Mutation): string =>
  `${way} ${place} ${JSON.stringify(key)} ${value.name}`

type Container = Record<string, unknown>

/** Where something can be put: every argument, property and item. */
interface Place {
  readonly into: Container
  readonly at: string
  /** What was there at first. */
  readonly present: unknown
}

function placesOf(container: object): Place[] {
  return Object.entries(container).flatMap(([at, present]: [string, unknown]) => [
    { into: container as Container, at, present },
    ...(isContainer(present) ? placesOf(present) : []),
  ])
}

const isContainer = (value: unknown): value is object =>
  typeof value === 'object' &&
  value !== null &&
  (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype)

function mutated(args: unknown[], mutations: readonly Mutation[], theirs: Side): unknown[] {
  // All places first: what a mutation has put somewhere is not to be looked into.
  const places = placesOf(args)
  if (places.length === 0) return args
  const picked = mutations.map((mutation) => ({ mutation, to: places[mutation.place % places.length] as Place }))
  for (const { mutation, to } of picked) mutate(args, mutation, to, theirs)
  return args
}

function mutate(args: unknown[], { way, place, key, value }: Mutation, { into, at, present }: Place, theirs: Side) {
  switch (way) {
    case 'replace':
      into[at] = value.make()
      break
    case 'add': {
      const property = { value: value.make(), enumerable: true, writable: true, configurable: true }
      // Defined, so that `__proto__` becomes a property.
      Object.defineProperty(isContainer(present) ? present : into, key, property)
      break
    }
    case 'drop':
      Reflect.deleteProperty(into, at)
      break
    case 'inherit':
      into[at] = Object.create(Object(present) as object)
      break
    case 'damage':
      into[at] = damaged(present, place)
      break
    case 'steal':
      into[at] = stolen(theirs, place)
      break
    case 'shorten':
      args.length = place % (args.length + 1)
  }
}

/** A text with one character changed, doubled or gone, or cut off there. */
function damaged(value: unknown, place: number): unknown {
  if (typeof value !== 'string') return [value]
  const at = place % (value.length + 1)
  const [before, one, after] = [value.slice(0, at), value.charAt(at), value.slice(at + 1)]
  const changed = String.fromCharCode((value.charCodeAt(at) ^ (1 << (place % 7))) & 0x7f)
  const ways = [before, before + after, before + one + one + after, before + one.toUpperCase() + after]
  return [...ways, before + changed + after][place % 5]
}

/** What is right, in another organization or another list. */
function stolen({ org, ids, cursors }: Side, place: number): unknown {
  const all = [org.id, newId(), ...Object.values(ids), ...Object.values(cursors)]
  return all[place % all.length]
}
