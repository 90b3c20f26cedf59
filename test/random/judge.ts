import { IsolationError, QueryError, TenantryError } from '../../src/core/errors.js'
import type { RandomCall } from './calls.js'
import { type Draw, keep, type Member, type World } from './world.js'

const mostFaults = 20
const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** Looks at what comes of each call. */
export class Judge {
  readonly calls = new Map<string, number>()
  readonly errors = new Map<string, number>()
  readonly faults: string[] = []

  constructor(private readonly world: World) {}

  count(name: string): void {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1)
  }

  fault(what: string): void {
    if (this.faults.length < mostFaults) this.faults.push(what)
  }

  success({ name, kind }: RandomCall, draw: Draw, value: unknown): void {
    const { member } = draw
    if (member.part === 'halted') this.fault(`${name} was answered for an organization that is halted`)
    if (draw.reachesOut && !isNothing(value)) this.fault(`${name} answered about what the organization has not`)
    this.stranger(name, member.id, value)
    this.remember(kind, draw, value)
  }

  /** `error` counts it, once it is known to whom it went. */
  failure(name: string, { id: orgId }: Member, error: unknown): void {
    if (!(error instanceof TenantryError)) return
    // The database had to refuse what a repository should never have sent.
    if (!name.startsWith('db.') && (error instanceof IsolationError || error instanceof QueryError)) {
      this.fault(`${name} was refused by the database: ${error.message}`)
    }
    for (const [id] of JSON.stringify([error.message, Object.values(error)]).matchAll(uuid)) {
      if (id !== orgId) this.fault(`${name} named an id in its error: ${error.message}`)
    }
  }

  error(error: unknown): void {
    if (error instanceof TenantryError) {
      this.errors.set(error.name, (this.errors.get(error.name) ?? 0) + 1)
    } else {
      this.fault(
        `an error that is none of ours: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
    }
  }

  /** Anything in the answer that is known to be another organization's. */
  private stranger(name: string, orgId: string, value: unknown): void {
    if (typeof value === 'string') {
      const owner = value.slice(0, 36)
      if (owner !== orgId && this.world.isMember(owner)) this.fault(`${name} gave what another organization wrote`)
      if (value.length === 36 && this.world.isForeign(orgId, value))
        this.fault(`${name} gave another organization’s id`)
    } else if (typeof value === 'object' && value !== null) {
      if ('orgId' in value && value.orgId !== orgId) this.fault(`${name} gave a row of another organization`)
      for (const item of Object.values(value)) this.stranger(name, orgId, item)
    }
  }

  /** So that later calls find what this one has made. */
  private remember(kind: RandomCall['kind'], { member, random, list, world }: Draw, value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    if (kind !== undefined && 'id' in value) world.hold(member, kind, value.id as string, random)
    if ('taskId' in value && typeof value.taskId === 'string') world.hold(member, 'tasks', value.taskId, random)
    if (list !== undefined && 'next' in value && typeof value.next === 'string') {
      keep(world.cursors, { orgId: member.id, list, text: value.next }, random, 200)
    }
  }
}

function isNothing(value: unknown): boolean {
  if (typeof value !== 'object') return value === undefined || value === 0 || value === false
  return Array.isArray(value) && value.length === 0
}
