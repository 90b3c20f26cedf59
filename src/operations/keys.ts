import { z } from 'zod'
import { InvalidInputError } from '../core/errors.js'
import { nilId as nobody, parseId } from '../core/ids.js'
import type { Scope } from '../core/scope.js'
import { readScopeOptions } from '../core/scopes/scope-options.js'
import { statement } from '../core/statement.js'
import { parseInput, readOptions } from '../core/values.js'
import * as shape from '../schema/shared/shapes.js'
import { countOthers, masterKeys, type MasterKeyStatus, rewrapBatch } from './master-keys.js'
import { type RetiredMasterKey, retireMasterKey } from './retire-master-key.js'
import { assertRightKey } from './right-keys.js'
import { destroyAll, ensureKey, rotateOrganization } from './rotate-keys.js'
import { ask } from './stored-keys.js'
import { operate, type SystemWork } from './system-operation.js'

export interface KeyOptions {
  /** Stops after the running batch. The next call goes on with the rest. */
  readonly signal?: AbortSignal | undefined
  /** Called after each batch. */
  readonly onProgress?: ((progress: KeyProgress) => void | Promise<void>) | undefined
}

export interface KeyProgress {
  /** How many organizations, or keys, are finished. */
  readonly done: number
  readonly total: number
}

/** What `ensure` did. */
export interface EnsuredKeys {
  /** How many organizations got their first key. */
  readonly made: number
  readonly isComplete: boolean
}

/** What `rotate` did. */
export interface RotatedKeys {
  /** When the rotation began: an earlier moment where this call went on with one that was interrupted. */
  readonly since: Date
  readonly isResumed: boolean
  readonly organizations: number
  /** Rows with a cell that was sealed again. */
  readonly rows: number
  /** Older keys that were destroyed, because nothing is sealed with them any more. */
  readonly destroyed: number
  /** Cells that do not open, or that this build does not know. The key that they name is kept. */
  readonly left: number
  /** False when the signal ended it. */
  readonly isComplete: boolean
}

/** What `rewrap` did. */
export interface RewrappedKeys {
  readonly keys: number
  /** Keys that do not open, because their master key is not there or they were changed. They stay as they are. */
  readonly left: number
  readonly isComplete: boolean
}

const retirement = z.strictObject({ dropKeys: z.boolean().default(false) })
const masterKey = z.strictObject({ id: shape.label(255) })

/**
 * The organizations' keys for sealed columns, and the master keys. Each operation is recorded in `system_audit_logs`, and what changes an
 * organization's keys in its own audit log.
 */
export class Keys {
  constructor(private readonly work: SystemWork) {}

  /** Makes a key for each organization that has none, as `provision` does for new ones. */
  async ensure(options?: KeyOptions): Promise<EnsuredKeys> {
    const pass = new Pass(options)
    const scope = this.work.scopeAbout(undefined)
    await pass.begin(scope, countWithoutKey, [])
    let made = 0
    await pass.each(scope, findWithoutKey, [], async (orgId) => {
      if (await ensureKey(this.work, orgId)) made += 1
      return true
    })
    return { made, isComplete: pass.isComplete }
  }

  /**
   * Gives every organization, or one, a new key, seals everything again in small batches, and destroys the older keys once nothing is
   * sealed with them. It may be stopped at any moment: the next call goes on with what is left.
   */
  async rotate(orgId?: string, options?: KeyOptions): Promise<RotatedKeys> {
    const only = orgId === undefined ? null : parseId(orgId, 'orgId')
    const pass = new Pass(options)
    const scope = this.work.scopeAbout(undefined)
    await assertRightKey(scope, this.work, 'wrap', this.work.dataKeys.provider.activeId)
    const { since, isResumed } = await this.beginRotation(only)
    const sum = { organizations: 0, rows: 0, destroyed: 0, left: 0 }
    await pass.begin(scope, countDue, [since, only])
    await pass.each(scope, findDue, [since, only], async (id) => {
      const result = await rotateOrganization(this.work, id, since, () => pass.report())
      sum.organizations += 1
      sum.rows += result.rows
      sum.destroyed += result.destroyed
      sum.left += result.left
      return result.isComplete
    })
    const { isComplete } = pass
    if (isComplete) await this.record('keys.rotated', only, { ...sum })
    return { since, isResumed, ...sum, isComplete }
  }

  /** Wraps every data key under the active master key again. Nothing that is sealed changes. */
  async rewrap(options?: KeyOptions): Promise<RewrappedKeys> {
    const pass = new Pass(options)
    const { activeId } = this.work.dataKeys.provider
    await assertRightKey(this.work.scopeAbout(undefined), this.work, 'wrap', activeId)
    await pass.begin(this.work.scopeAbout(undefined), countOthers, [activeId])
    const sum = { keys: 0, left: 0 }
    const recorded = async () => {
      if (sum.keys + sum.left > 0) await this.record('keys.rewrap', null, sum)
    }
    let after: readonly [string, string] | undefined = [nobody, nobody]
    let isGoingOn = true
    try {
      while (after !== undefined && isGoingOn) {
        const before: number = sum.keys
        after = await rewrapBatch(this.work, after, (wrapped, left) => {
          sum.keys += wrapped
          sum.left += left
        })
        isGoingOn = await pass.report(sum.keys - before)
      }
    } catch (error) {
      // What was wrapped before the failure is recorded too, if the database still answers.
      await recorded().catch(() => undefined)
      throw error
    }
    await recorded()
    return { ...sum, isComplete: after === undefined }
  }

  /** What still needs each master key. */
  status(): Promise<MasterKeyStatus[]> {
    return masterKeys(this.work)
  }

  /**
   * Checks that nothing needs a master key any more, so that it can be removed from the servers: otherwise it throws ConflictError. With
   * `dropKeys` it ends the API keys, sessions and invitations that need it, and lists the API keys. It never drops a data key: wrap those
   * again first. Audit entries that were numbered under it are only counted: keep the key to verify them.
   */
  async retire(masterKeyId: string, options?: { readonly dropKeys?: boolean | undefined }): Promise<RetiredMasterKey> {
    const { dropKeys } = parseInput(retirement, { dropKeys: readOptions(options, ['dropKeys']).dropKeys })
    return retireMasterKey(this.work, parseInput(masterKey, { id: masterKeyId }).id, dropKeys)
  }

  /** Destroys the keys of one organization: its secrets are lost for good, at once and everywhere. Returns how many. */
  destroy(orgId: string): Promise<number> {
    return destroyAll(this.work, parseId(orgId, 'orgId'))
  }

  /** When the last unfinished rotation began, or now. A rotation is finished where it left nothing to do, recorded or not. */
  private async beginRotation(only: string | null): Promise<{ since: Date; isResumed: boolean }> {
    const scope = this.work.scopeAbout(undefined)
    const open = () => ask(scope, findOpenRotation, [only], ({ rows: [row] }) => new Date(row?.[0] as string))
    const before = await open()
    if (!Number.isNaN(before.getTime())) {
      const due = await ask(scope, countDue, [before, only], ({ rows: [row] }) => row?.[0] as number)
      if (due > 0) return { since: before, isResumed: true }
    }
    await this.record('keys.rotate', only, {})
    return { since: await open(), isResumed: false }
  }

  private record(operation: string, orgId: string | null, metadata: Record<string, number>): Promise<void> {
    const about = orgId === null ? undefined : ({ kind: 'org', id: orgId } as const)
    return operate(this.work, operation, about, () => Promise.resolve(), { metadata: () => metadata })
  }
}

/** The newest one of `$1`, unless a rotation of the same, or of every organization, has been finished after it began. */
const findOpenRotation = statement(
  `select b.created_at from platform.system_audit_logs b
   where b.operation = 'keys.rotate' and b.target_org_id is not distinct from $1::uuid
     and not exists (select from platform.system_audit_logs f
       where f.operation = 'keys.rotated' and (f.target_org_id is null or f.target_org_id = $1::uuid)
         and (f.created_at, f.id) > (b.created_at, b.id))
   order by b.created_at desc, b.id desc limit 1`,
  'read',
)

// A join, because a cluster takes no `not exists` between a table of every node and one of shards.
const withoutKey = `from platform.organizations o left join platform.org_keys k on k.org_id = o.id and k.state = 'active'
  where o.deleted_at is null and k.org_id is null`
const countWithoutKey = statement(`select count(*)::int ${withoutKey}`, 'read')
const findWithoutKey = statement(`select o.id ${withoutKey} and o.id > $1::uuid order by o.id limit 100`, 'read')

/** Organizations with a key that a rotation since then has to replace or to destroy. The arguments are the places of its parameters. */
const due = (since: string, only: string) => `from platform.org_keys k
  where (k.state = 'decrypt_only' or (k.state = 'active' and k.created_at < ${since}::timestamptz))
    and k.org_id = coalesce(${only}::uuid, k.org_id)`
const countDue = statement(`select pg_catalog.count(distinct k.org_id)::int ${due('$1', '$2')}`, 'read')
const findDue = statement(
  `select distinct k.org_id ${due('$2', '$3')} and k.org_id > $1::uuid order by k.org_id limit 100`,
  'read',
)

/** One pass over organizations, in the order of their ids. */
class Pass {
  isComplete = false
  private done = 0
  private total = 0
  private readonly signal: AbortSignal | undefined
  private readonly onProgress: KeyOptions['onProgress']

  constructor(options: unknown) {
    const { signal, onProgress } = readOptions(options, ['signal', 'onProgress'])
    if (onProgress !== undefined && typeof onProgress !== 'function')
      throw new InvalidInputError('onProgress', 'must be a function')
    this.signal = readScopeOptions({ signal }).signal
    this.onProgress = onProgress as KeyOptions['onProgress']
  }

  async begin(scope: Scope, count: ReturnType<typeof statement>, values: readonly unknown[]): Promise<void> {
    this.total = await ask(scope, count, values, ({ rows }) => rows[0]?.[0] as number)
  }

  /** `find` gets the last id in front of the values. `act` returns false when it was stopped. */
  async each(
    scope: Scope,
    find: ReturnType<typeof statement>,
    values: readonly unknown[],
    act: (orgId: string) => Promise<boolean>,
  ): Promise<void> {
    for (let last = nobody; ;) {
      const ids = await ask(scope, find, [last, ...values], ({ rows }) => rows.map(([id]) => id as string))
      for (const id of ids) {
        if (this.signal?.aborted === true || !(await act(id))) return
        last = id
        this.done += 1
        await this.report()
      }
      if (ids.length === 0) break
    }
    this.isComplete = true
  }

  /** Returns false when the pass must stop. */
  async report(finished = 0): Promise<boolean> {
    this.done += finished
    await this.onProgress?.({ done: this.done, total: Math.max(this.total, this.done) })
    return this.signal?.aborted !== true
  }
}
