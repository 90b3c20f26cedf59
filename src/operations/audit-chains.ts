import { z } from 'zod'
import { InvalidInputError, NotFoundError } from '../core/errors.js'
import { nilId, parseId } from '../core/ids.js'
import { planned } from '../core/planned.js'
import type { Statement } from '../core/executor.js'
import type { Query } from '../core/query.js'
import type { ChainKeys } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { readScopeOptions } from '../core/scopes/scope-options.js'
import { statement } from '../core/statement.js'
import { parseInput, readOptions } from '../core/values.js'
import { type AuditSeal, auditSeals } from '../schema/audit-logs.js'
import type { JsonObject } from '../schema/shared/json.js'
import * as shape from '../schema/shared/shapes.js'
import { readSeal } from './chain-hash.js'
import { wrongKey } from './right-keys.js'
import { type NotSealed, SealPass } from './seal-audit-log.js'
import { operate, type SystemWork } from './system-operation.js'
import { type BrokenChain, walkChain } from './verify-audit-log.js'

export interface SealOptions {
  /** The most entries. Default: 100,000. */
  readonly limit?: number | undefined
  /** Stops after the running batch. What is sealed stays sealed, and the next pass goes on with the rest. */
  readonly signal?: AbortSignal | undefined
  /** Called after each batch, which is a transaction of at most 1,000 entries. */
  readonly onProgress?: ((progress: AuditProgress) => void | Promise<void>) | undefined
}

export interface VerifyOptions {
  /** A head that was taken earlier and kept outside of the database. Needs the organization. */
  readonly anchor?: AuditHead | undefined
  /** Where a verification was stopped: its `next`. */
  readonly from?: AuditPlace | undefined
  /** Stops after the running batch. */
  readonly signal?: AbortSignal | undefined
  /** Called after each batch of 1,000 entries. */
  readonly onProgress?: ((progress: AuditProgress) => void | Promise<void>) | undefined
}

export interface AuditProgress {
  readonly orgId: string
  /** How many entries so far, of all organizations. */
  readonly done: number
  /** How many there were at the beginning. */
  readonly total: number
}

/** The last entry of a chain. */
export interface AuditHead {
  readonly seq: number
  /** In hexadecimal digits. */
  readonly hash: string
}

export interface AuditPlace {
  readonly orgId: string
  readonly seq: number
}

export interface SealedEntries {
  readonly entries: number
  readonly organizations: number
  /** False when the limit or the signal ended the pass: there may be more. */
  readonly isComplete: boolean
  /** The organizations of which an entry could not be sealed, even alone. The pass went on with the others. */
  readonly notSealed: readonly NotSealed[]
}

export interface VerifiedChains {
  /** Whether every entry that was looked at is as it was sealed, in its place. */
  readonly isIntact: boolean
  /** The first broken entry of each chain that has one. */
  readonly broken: readonly BrokenChain[]
  /** How many chains were walked, the last one perhaps in part. */
  readonly organizations: number
  /** How many sealed entries were verified. */
  readonly entries: number
  /** How many entries are not sealed yet. Nothing is known about them. */
  readonly unsealed: number
  /** How many sealed entries are gone with the months that were dropped. */
  readonly dropped: number
  /** Whether the anchor was compared. It cannot be when its entry is gone with its month. Undefined without an anchor. */
  readonly isAnchored: boolean | undefined
  /** False when the signal ended it. */
  readonly isComplete: boolean
  /** Where to go on. Undefined when it is complete. */
  readonly next: AuditPlace | undefined
}

const batchSize = 1000
const sealing = z.strictObject({ limit: shape.int(1, shape.maxInt).default(100_000) })
const seqShape = shape.int(0, Number.MAX_SAFE_INTEGER)
const verifying = z.strictObject({
  anchor: shape
    .own(
      z.strictObject({
        seq: seqShape.min(1),
        hash: z.string().regex(/^(?:[0-9a-f]{2}){34,49}$/, 'is no hash of an entry'),
      }),
    )
    .optional(),
  from: shape.own(z.strictObject({ orgId: shape.uuid, seq: seqShape })).optional(),
})

/** The chains of the audit logs, one for each organization. Tamper-evident: what was changed is found, not prevented. */
export class AuditChains {
  constructor(private readonly work: SystemWork) {}

  /**
   * Numbers the entries that have no number yet and chains them, of one organization or of all. It may be stopped, repeated, and run
   * twice at once.
   */
  async seal(orgId?: string, options?: SealOptions): Promise<SealedEntries> {
    const { signal, onProgress, ...asked } = readOptions(options, ['limit', 'signal', 'onProgress'])
    const { limit } = parseInput(sealing, asked)
    const one = orgId === undefined ? undefined : parseId(orgId, 'orgId')
    const pass = new SealPass(this.work, keysOf(this.work), one)
    const isStopped = stopOf(signal)
    await this.assertKnown(one)
    const tell = await this.progress(onProgress, 'unsealed', orgId)
    try {
      while (pass.entries < limit && !isStopped() && !pass.isComplete && !pass.hasWrongKey) {
        const id = await pass.next(Math.min(batchSize, limit - pass.entries))
        if (id !== undefined) await tell?.(id, pass.entries)
      }
    } catch (error) {
      // What was done before the failure is recorded too, if the database still answers.
      await this.recordSealed(orgId, pass).catch(() => undefined)
      throw error
    }
    await this.recordSealed(orgId, pass)
    if (pass.hasWrongKey) throw wrongKey(this.work, 'seal', keysOf(this.work).keys[0].id)
    const { entries, organizations, isComplete, notSealed } = pass
    return { entries, organizations, isComplete, notSealed }
  }

  /**
   * Walks the chains, of one organization or of all, and names the first entry of each that is not as it was sealed. Entries that are
   * sealed meanwhile are verified too.
   */
  async verify(orgId?: string, options?: VerifyOptions): Promise<VerifiedChains> {
    const { signal, onProgress, ...asked } = readOptions(options, ['anchor', 'from', 'signal', 'onProgress'])
    const { anchor, from } = parseInput(verifying, asked)
    const one = orgId === undefined ? undefined : parseId(orgId, 'orgId')
    if (one === undefined && anchor !== undefined)
      throw new InvalidInputError('anchor', 'belongs to one organization: name it')
    if (one !== undefined && from !== undefined && from.orgId !== one)
      throw new InvalidInputError('from', 'is of another organization')
    const keys = keysOf(this.work)
    const isStopped = stopOf(signal)
    await this.assertKnown(one ?? from?.orgId)
    if (from !== undefined && from.seq > (await this.ask(headNumber, from.orgId, Number)))
      throw new InvalidInputError('from', 'is behind the head')
    const tell = await this.progress(onProgress, 'sealed', orgId)
    const broken: BrokenChain[] = []
    let [organizations, entries, unsealed, dropped] = [0, 0, 0, 0]
    let isAnchored = anchor === undefined ? undefined : false
    let next: AuditPlace | undefined
    let current = one ?? from?.orgId ?? (await this.nextChain(undefined))
    while (current !== undefined && next === undefined) {
      const id = current
      const before = entries
      const walked = await walkChain(this.work, id, {
        keys,
        anchor: anchor && { seq: anchor.seq, hash: Buffer.from(anchor.hash, 'hex') },
        from: from?.orgId === id ? from.seq : undefined,
        isStopped,
        onBatch: (done) => tell?.(id, before + done),
      })
      if (!walked.isStopped || walked.entries > 0) organizations++
      entries += walked.entries
      dropped += walked.dropped
      unsealed += await this.countUnsealed(id)
      if (isAnchored !== undefined) isAnchored = walked.isAnchored
      if (walked.broken !== undefined) broken.push(walked.broken)
      if (walked.isStopped) next = { orgId: id, seq: walked.seq }
      current = one === undefined && next === undefined ? await this.nextChain(id) : undefined
    }
    const found = { organizations, entries, unsealed, dropped, isIntact: broken.length === 0 }
    const facts = {
      ...found,
      broken: broken
        .slice(0, 100)
        .map(({ keyId, ...chain }) => ({ ...chain, id: chain.id ?? null, ...(keyId === undefined ? {} : { keyId }) })),
    }
    await operate(this.work, 'audit.verify', aboutOf(one), () => Promise.resolve(), { metadata: () => facts })
    return { ...found, broken, isAnchored, isComplete: next === undefined, next }
  }

  /** The last sealed entry. Kept outside of the database it is an anchor for `verify`. Undefined where nothing is sealed. */
  head(orgId: string): Promise<AuditHead | undefined> {
    const about = { kind: 'org', id: parseId(orgId, 'orgId') } as const
    return operate(this.work, 'audit.head', about, async (scope) => {
      const seal = await readSeal(new ScopedTable<AuditSeal>(scope, auditSeals))
      if (seal === undefined || seal.head.seq === 0) return undefined
      return { seq: seal.head.seq, hash: Buffer.from(seal.head.hash).toString('hex') }
    })
  }

  private recordSealed(
    orgId: string | undefined,
    { entries, organizations, isComplete, notSealed }: SealPass,
  ): Promise<void> {
    if (entries === 0 && notSealed.length === 0) return Promise.resolve()
    const metadata = () => ({ entries, organizations, isComplete, ...notSealedFacts(notSealed) })
    return operate(this.work, 'audit.seal', aboutOf(orgId), () => Promise.resolve(), { metadata })
  }

  /** Reports to the caller, with the total that is counted once. Nothing is counted when nobody listens. */
  private async progress(
    onProgress: unknown,
    count: keyof typeof counts,
    orgId: string | undefined,
  ): Promise<((orgId: string, done: number) => void | Promise<void>) | undefined> {
    if (onProgress === undefined) return undefined
    if (typeof onProgress !== 'function') throw new InvalidInputError('onProgress', 'must be a function')
    const total = await this.ask(counts[count], orgId ?? null, Number)
    const tell = onProgress as NonNullable<SealOptions['onProgress']>
    return (id, done) => tell({ orgId: id, done, total })
  }

  /** Entries and chains outlive their organization. */
  private async assertKnown(orgId: string | undefined): Promise<void> {
    if (orgId !== undefined && !(await this.ask(isKnown, orgId, Boolean))) throw new NotFoundError('organizations')
  }

  private countUnsealed(orgId: string): Query<number> {
    return this.ask(counts.unsealed, orgId, Number)
  }

  /** The next organization with entries or with a chain. */
  private nextChain(last: string | undefined): Query<string | undefined> {
    return this.ask(nextWithEntries, last ?? null, (id) => (id ?? undefined) as string | undefined)
  }

  private ask<T>(text: Statement, value: string | null, read: (answer: unknown) => T): Query<T> {
    const scope = this.work.scopeAbout(undefined)
    return scope.query(() => planned({ statement: text, values: [value] }, ({ rows }) => read(rows[0]?.[0])))
  }
}

/** Of the organization `$1`, or of all. */
const counts = {
  unsealed: statement(
    'select count(*) from platform.audit_logs where seq is null and ($1::uuid is null or org_id = $1::uuid)',
    'read',
  ),
  sealed: statement(
    'select coalesce(pg_catalog.sum(seq - base_seq), 0) from platform.audit_seals where $1::uuid is null or org_id = $1::uuid',
    'read',
  ),
}

const isKnown = statement(
  `select exists (select from platform.organizations where id = $1::uuid)
     or exists (select from platform.audit_logs where org_id = $1::uuid)
     or exists (select from platform.audit_seals where org_id = $1::uuid)`,
  'read',
)

const headNumber = statement(
  'select coalesce((select seq from platform.audit_seals where org_id = $1::uuid), 0)',
  'read',
)

const first = `coalesce($1::uuid, '${nilId}'::uuid)`
const nextWithEntries = statement(
  `select least(
     (select org_id from platform.audit_logs where org_id > ${first} order by org_id limit 1),
     (select org_id from platform.audit_seals where org_id > ${first} order by org_id limit 1)
   )`,
  'read',
)

/** The first hundred, for the record of an operation. */
export const notSealedFacts = (notSealed: readonly NotSealed[]): JsonObject =>
  notSealed.length === 0 ? {} : { notSealed: notSealed.slice(0, 100).map((one) => ({ ...one })) }

const aboutOf = (orgId: string | undefined) => (orgId === undefined ? undefined : ({ kind: 'org', id: orgId } as const))

function keysOf({ chainKeys }: SystemWork): ChainKeys {
  if (chainKeys !== undefined) return chainKeys
  throw new InvalidInputError('TENANTRY_KEYS', 'is not set: the entries are sealed with the keys of the application')
}

function stopOf(given: unknown): () => boolean {
  const { signal } = readScopeOptions({ signal: given })
  return () => signal?.aborted === true
}
