import { newId } from '../../src/core/ids.js'
import type { Lease } from '../../src/repositories/tasks.js'

/** Numbers that follow from the seed alone: mulberry32. */
export class Random {
  constructor(private state: number) {}

  /** From 0 up to, and without, 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  below(end: number): number {
    return Math.floor(this.next() * end)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
}

export const kinds = ['projects', 'agents', 'workflows', 'schedules', 'tasks', 'tools'] as const
export type Kind = (typeof kinds)[number]

/**
 * What an organization does until the next checkpoint. A control never does anything, a quiet one pauses, a halted one is
 * suspended or deleted and tries all the same, and a wavering one is suspended while it works. All of them are aimed at.
 */
export type Part = 'control' | 'quiet' | 'halted' | 'wavering' | 'busy'

export interface Member {
  readonly id: string
  part: Part
  readonly ids: Readonly<Record<Kind, string[]>>
}

interface Cursor {
  readonly orgId: string
  readonly list: string
  readonly text: string
}

const remembered = 24

/** The organizations of a run, and the ids that are known in it. */
export class World {
  readonly members: Member[] = []
  /** The token with which a task was claimed last. */
  readonly leases = new Map<string, string>()
  readonly cursors: Cursor[] = []
  private readonly twins = new Map<Kind, string[]>(kinds.map((kind) => [kind, []]))
  private readonly nobodys = Array.from({ length: 20 }, newId)
  private readonly held = new Set<string>()
  private readonly holders = new Map<string, Set<string>>()
  private readonly byId = new Map<string, Member>()

  join(id: string, part: Part): Member {
    const ids = { projects: [], agents: [], workflows: [], schedules: [], tasks: [], tools: [] }
    const member: Member = { id, part, ids }
    this.members.push(member)
    this.byId.set(id, member)
    return member
  }

  isMember(id: string): boolean {
    return this.byId.has(id)
  }

  /** Must be said before a row with a known id is written: from then on the organization may have it. */
  hold({ id: orgId, ids }: Member, kind: Kind, id: string, random: Random): void {
    const key = `${orgId} ${kind} ${id}`
    if (this.held.has(key)) return
    this.held.add(key)
    keep(ids[kind], id, random)
    const holders = this.holders.get(id)
    if (holders === undefined) this.holders.set(id, new Set([orgId]))
    else {
      holders.add(orgId)
      keep(this.twins.get(kind) ?? [], id, random)
    }
  }

  holds(orgId: string, kind: Kind, id: string): boolean {
    return this.held.has(`${orgId} ${kind} ${id}`)
  }

  /** Whether it is known to be an id of others only. */
  isForeign(orgId: string, id: string): boolean {
    return this.holders.get(id)?.has(orgId) === false
  }

  id(member: Member, kind: Kind, random: Random): string {
    const place = random.next()
    const [own, twins] = [member.ids[kind], this.twins.get(kind) ?? []]
    if (place < 0.55 && own.length > 0) return random.pick(own)
    if (place < 0.7 && twins.length > 0) return random.pick(twins)
    if (place < 0.92) return random.pick(random.pick(this.members).ids[kind])
    if (place < 0.96) return random.pick(member.ids[random.pick(kinds)])
    return random.pick(this.nobodys)
  }
}

/** No longer than what a run can still find again. */
export function keep<T>(list: T[], item: T, random: Random, most = remembered): void {
  if (list.length < most) list.push(item)
  else list[random.below(most)] = item
}

/** What one call is made of, and what must come of it. */
export class Draw {
  private readonly targets: { readonly kind: Kind; readonly id: string }[] = []
  private mustFail = false
  /** What is listed and in which order, if the answer is a page. */
  list: string | undefined

  constructor(
    readonly world: World,
    readonly member: Member,
    readonly random: Random,
  ) {}

  /**
   * Whether it reaches for what the organization has not, so that it must fail or find nothing. Asked when the answer is there:
   * meanwhile somebody may have written the organization a row with that id.
   */
  get reachesOut(): boolean {
    return this.mustFail || this.targets.some(({ kind, id }) => !this.world.holds(this.member.id, kind, id))
  }

  /** Nothing may come of it. */
  forbid(when = true): void {
    this.mustFail ||= when
  }

  /** The row that the call is about. */
  target(kind: Kind): string {
    const id = this.anyId(kind)
    this.targets.push({ kind, id })
    return id
  }

  /** A task that the call finishes, with a token that mostly is the one of its lease. */
  lease(): Lease {
    const id = this.target('tasks')
    return { id, leaseToken: this.world.leases.get(id) ?? newId() }
  }

  /** A row that the call's own is to refer to, or null. */
  reference(kind: Kind): string | null {
    return this.random.chance(0.4) ? null : this.target(kind)
  }

  anyId(kind: Kind): string {
    return this.world.id(this.member, kind, this.random)
  }

  /** An id that the row of the call gets, though others may have it too. */
  ownId(kind: Kind): string {
    const id = this.anyId(kind)
    this.world.hold(this.member, kind, id, this.random)
    return id
  }

  /** Another organization. Nothing of it may be found or written. */
  stranger(): string {
    const { id } = this.random.pick(this.world.members)
    this.forbid(id !== this.member.id)
    return id
  }

  /** A cursor of some list, mostly of another one than this. */
  cursor(list: string): { after?: string } {
    this.list = list
    if (this.world.cursors.length === 0 || this.random.chance(0.7)) return {}
    const { orgId, text, list: of } = this.random.pick(this.world.cursors)
    this.forbid(orgId !== this.member.id || of !== list)
    return { after: text }
  }

  /** Every text begins with its organization, so that a row which another one wrote can be told. */
  text(): string {
    return `${this.member.id} ${this.random.below(30)}`
  }

  mark(): { of: string } {
    return { of: this.member.id }
  }

  /** The same few in every organization. */
  slug(): string {
    return `s${this.random.below(30)}`
  }
}
