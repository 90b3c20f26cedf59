import { RetryableError } from '../core/errors.js'
import { nilId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { ChainKeys } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type AuditEntry, auditLogs, type AuditSeal, auditSeals } from '../schema/audit-logs.js'
import { Batches, isTooMuch } from './batches.js'
import { contentHash, type Link, sealOf } from './chain-hash.js'
import { isWrongKey } from './right-keys.js'
import { allRows, type SystemWork } from './system-operation.js'

/** An entry that has no number yet. */
type Unsealed = [createdAt: string, id: string, content: Uint8Array]

/** An organization with entries that could not be sealed. The others were. */
export interface NotSealed {
  readonly orgId: string
  /** The code of the error with which its next entry alone failed, such as `timeout`. */
  readonly code: string
}

/** Seals the entries of every organization that has unsealed ones, or of one organization, batch by batch. */
export class SealPass {
  entries = 0
  organizations = 0
  isComplete = false
  /** Nothing is sealed then. */
  hasWrongKey = false
  readonly notSealed: NotSealed[] = []
  /** Those of the current organization. */
  private batches = new Batches()
  private current: string | undefined
  private isNew = true
  private last = nilId

  constructor(
    private readonly work: SystemWork,
    private readonly keys: ChainKeys,
    private readonly one?: string,
  ) {}

  /** One batch. Returns its organization. */
  async next(size: number): Promise<string | undefined> {
    const id = (this.current ??= this.one ?? (await nextUnsealed(this.work, this.last)))
    if (id === undefined) {
      this.isComplete = true
      return undefined
    }
    this.hasWrongKey = await isWrongKey(this.work.scopeAbout(undefined), this.work, 'seal', this.keys.keys[0].id)
    if (this.hasWrongKey) return undefined
    const { done, isLast } = await this.sealed(id, size)
    this.entries += done
    if (done > 0 && this.isNew) this.organizations++
    this.isNew = isLast
    if (this.isNew) this.goOn(id)
    return id
  }

  /** Seals nothing of the organization when a single entry fails: the entries behind it cannot be chained without it. */
  private async sealed(id: string, size: number): Promise<{ done: number; isLast: boolean }> {
    try {
      const { done, batch } = await this.batches.run(size, (rows) => sealBatch(this.work, this.keys, id, rows))
      return { done, isLast: done < batch }
    } catch (error) {
      if (!isTooMuch(error)) throw error
      this.notSealed.push({ orgId: id, code: error.code })
      return { done: 0, isLast: true }
    }
  }

  private goOn(id: string): void {
    this.last = id
    this.batches = new Batches()
    this.current = undefined
    this.isComplete = this.one !== undefined
  }
}

/**
 * Numbers at most `size` entries of an organization and chains them, in one transaction. Returns how many. Only what is committed gets
 * a number: an entry that was begun earlier and ends later gets a later one. A second sealer of the organization waits for the first.
 */
function sealBatch(work: SystemWork, keys: ChainKeys, orgId: string, size: number): Promise<number> {
  return work.scopeAbout({ kind: 'org', id: orgId }).transaction(
    async (scope) => {
      const [seals, entries] = [
        new ScopedTable<AuditSeal>(scope, auditSeals),
        new ScopedTable<AuditEntry>(scope, auditLogs),
      ]
      const head = await lockHead(seals)
      const unsealed = await findUnsealed(entries, size)
      if (unsealed.length === 0) return 0
      const chain = chained(keys, orgId, head, unsealed)
      const sealed = await number(entries, unsealed, [head, ...chain])
      // The owner of the tables changed or deleted one of them meanwhile.
      if (sealed !== unsealed.length) throw new RetryableError('serialization')
      await moveHead(seals, chain.at(-1) ?? head)
      return sealed
    },
    { isolation: 'read committed' },
  )
}

/** The first organization after that one with entries that are not sealed. */
function nextUnsealed(work: SystemWork, last: string): Query<string | undefined> {
  const rows = allRows<AuditEntry>(work.scopeAbout(undefined), auditLogs)
  const statement = ownStatement(
    rows.plan,
    nextUnsealed,
    'next',
    false,
    ({ sql }) => `select "org_id" from ${sql} where "seq" is null and "org_id" > $1::uuid order by "org_id" limit 1`,
  )
  return rows.run(
    statement,
    () => [last],
    (result) => result.rows[0]?.[0] as string | undefined,
  )
}

function chained(keys: ChainKeys, orgId: string, head: Link, unsealed: readonly Unsealed[]): Link[] {
  let last = head
  return unsealed.map(([, , content]) => {
    const seq = last.seq + 1
    last = { seq, hash: sealOf(keys.keys[0], { orgId, seq, previous: last.hash, content }) }
    return last
  })
}

/** Makes the row of an organization that has none. The lock lasts until the transaction ends. */
function lockHead(seals: ScopedTable<AuditSeal>): Query<Link> {
  const statement = ownStatement(
    seals.plan,
    sealBatch,
    'lock',
    true,
    ({ sql }) => `insert into ${sql} as s ("org_id", "seq", "hash", "base_seq") values ($1, 0, ''::bytea, 0)
      on conflict ("org_id") do update set "updated_at" = excluded."updated_at" returning s."seq", s."hash"`,
  )
  return seals.run(
    statement,
    () => [],
    ({ rows: [row] }) => ({ seq: Number(row?.[0]), hash: row?.[1] as Uint8Array }),
  )
}

function findUnsealed(entries: ScopedTable<AuditEntry>, size: number): Query<Unsealed[]> {
  const statement = ownStatement(
    entries.plan,
    sealBatch,
    'unsealed',
    false,
    ({ sql, visible }) => `select "created_at", "id", ${contentHash} from ${sql} where ${visible} and "seq" is null
      order by "created_at", "id" limit $2::bigint`,
  )
  return entries.run(
    statement,
    () => [size],
    ({ rows }) => rows as Unsealed[],
  )
}

/** `links` begins with the head before the first of the entries. */
function number(
  entries: ScopedTable<AuditEntry>,
  unsealed: readonly Unsealed[],
  links: readonly Link[],
): Query<number> {
  const statement = ownStatement(
    entries.plan,
    sealBatch,
    'number',
    true,
    ({ sql, visible }) => `update ${sql} set "seq" = s.number, "prev_hash" = s.previous, "hash" = s.seal
      from unnest($2::timestamptz[], $3::uuid[], $4::bigint[], $5::bytea[], $6::bytea[]) s(moment, entry, number, previous, seal)
      where ${visible} and "seq" is null and "created_at" between $7::timestamptz and $8::timestamptz
        and "created_at" = s.moment and "id" = s.entry`,
  )
  const moments = unsealed.map(([createdAt]) => createdAt)
  const made = links.slice(1)
  return entries.run(
    statement,
    () => [
      moments,
      unsealed.map(([, id]) => id),
      made.map(({ seq }) => seq),
      links.slice(0, -1).map(({ hash }) => hash),
      made.map(({ hash }) => hash),
      moments[0],
      moments.at(-1),
    ],
    ({ rowCount }) => rowCount,
  )
}

function moveHead(seals: ScopedTable<AuditSeal>, { seq, hash }: Link): Query<number> {
  const statement = ownStatement(
    seals.plan,
    sealBatch,
    'head',
    true,
    ({ sql, owned }) =>
      `update ${sql} set "seq" = $2::bigint, "hash" = $3::bytea, "updated_at" = statement_timestamp() where ${owned}`,
  )
  return seals.run(
    statement,
    () => [seq, hash],
    ({ rowCount }) => rowCount,
  )
}
