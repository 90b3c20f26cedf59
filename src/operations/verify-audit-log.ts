import type { Query } from '../core/query.js'
import type { ChainKeys } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type AuditEntry, auditLogs, type AuditSeal, auditSeals } from '../schema/audit-logs.js'
import { contentHash, isSame, keyIdOf, keyOf, type Link, noHash, readSeal, type Seal, sealOf } from './chain-hash.js'
import { Batches } from './batches.js'
import type { SystemWork } from './system-operation.js'

/**
 * - `edited`: the content or the hash of the entry is not what was sealed.
 * - `moved`: the entry was sealed in another place.
 * - `missing`: the entry with that number is gone.
 * - `inserted`: two entries have that number, or it is greater than the next one after the head.
 * - `truncated`: the chain ends before its head, or before the anchor.
 * - `unknown key`: none of the master keys has the id that the hash begins with. The entry cannot be verified without that key.
 * - `head`: the head in `audit_seals` is not that of the chain.
 * - `rewritten`: the entries up to the anchor fit together, but are not those that were there when the anchor was taken.
 */
export type ChainFault =
  | 'edited'
  | 'moved'
  | 'missing'
  | 'inserted'
  | 'truncated'
  | 'unknown key'
  | 'head'
  | 'rewritten'

/** The first entry of a chain that is not as it was sealed. */
export interface BrokenChain {
  readonly orgId: string
  readonly fault: ChainFault
  readonly seq: number
  /** Undefined where there is no such entry. */
  readonly id: string | undefined
  /** Of an `unknown key`: the id of the key that the hash names. Undefined where it names none. */
  readonly keyId?: string | undefined
}

/** What was found out about one chain. */
export interface WalkedChain {
  readonly entries: number
  /** The numbers up to the base that have no entry, because their months were dropped. */
  readonly dropped: number
  readonly broken: BrokenChain | undefined
  /** Where another walk goes on: the last entry that was verified behind the base. */
  readonly seq: number
  /** Whether the anchor was compared: its entry may be gone with its month. */
  readonly isAnchored: boolean
  readonly isStopped: boolean
}

export interface Walk {
  readonly keys: ChainKeys
  readonly anchor: Link | undefined
  /** The number of an entry that was verified before: the walk begins with it. */
  readonly from: number | undefined
  readonly isStopped: () => boolean
  /** Called after each batch. */
  readonly onBatch: (entries: number) => unknown
}

interface SealedEntry extends Link {
  readonly id: string
  readonly previous: Uint8Array
  readonly content: Uint8Array
}

/** The entries after that one are read next. */
interface Place {
  readonly seq: number | string
  readonly id: string
}

const batchSize = 1000
// Numbers that sealing never gives are found too.
const smallest = '-9223372036854775808'
const largest = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** Walks the chain of an organization from its base to its head, and stops at the first entry that is not as it was sealed. */
export function walkChain(work: SystemWork, orgId: string, walk: Walk): Promise<WalkedChain> {
  return new ChainWalk(work, orgId, walk).run()
}

class ChainWalk {
  private readonly seals: ScopedTable<AuditSeal>
  private readonly rows: ScopedTable<AuditEntry>
  private base: Link = { seq: 0, hash: noHash }
  /** The last entry that is known to be right, or the base. */
  private last: Link = this.base
  private entries = 0
  private isAnchored = false
  private isStopped = false
  private readonly from: number
  private readonly batches = new Batches()

  constructor(
    work: SystemWork,
    private readonly orgId: string,
    private readonly walk: Walk,
  ) {
    const scope = work.scopeAbout({ kind: 'org', id: orgId })
    this.seals = new ScopedTable<AuditSeal>(scope, auditSeals)
    this.rows = new ScopedTable<AuditEntry>(scope, auditLogs)
    this.from = walk.from ?? 0
  }

  async run(): Promise<WalkedChain> {
    const broken = await this.find()
    const { entries, isAnchored, isStopped, base } = this
    // A walk that begins later goes on with another one, which has told it.
    const dropped = this.from > 0 || base.seq === 0 ? 0 : base.seq - (await this.countUpTo(base.seq))
    const seq = this.last.seq > base.seq ? this.last.seq : this.from
    return { entries, dropped, broken, seq, isAnchored, isStopped }
  }

  private async find(): Promise<BrokenChain | undefined> {
    await this.moveBase()
    if (this.from > this.base.seq) this.last = { seq: this.from - 1, hash: noHash }
    let place: Place = { seq: this.from > 0 ? this.from - 1 : smallest, id: largest }
    for (;;) {
      this.isStopped = this.walk.isStopped()
      if (this.isStopped) return undefined
      // Read first: what it says is there when the entries are read.
      const seal = await readSeal(this.seals)
      const { found, size } = await this.batchAfter(place)
      for (const [index, entry] of found.entries()) {
        const fault = (await this.faultOf(entry, seal)) ?? this.anchorFault(entry)
        const isTwin = found[index + 1]?.seq === entry.seq
        if (fault !== undefined) return isTwin ? { ...fault, fault: 'inserted' } : fault
        this.entries++
      }
      await this.walk.onBatch(this.entries)
      const end = found.at(-1)
      if (end !== undefined) place = end
      if (found.length === size) continue
      const fault = await this.faultAtEnd(seal)
      if (fault !== 'more') return fault
    }
  }

  /** What is wrong with the entry. If nothing is, it is the last one that is right. */
  private async faultOf(entry: SealedEntry, seal: Seal | undefined): Promise<BrokenChain | undefined> {
    const { seq, hash, previous } = entry
    // Months may have been dropped since the base was read.
    if (seq > this.last.seq + 1) await this.moveBase()
    if (seq <= this.base.seq || this.isFirst(entry)) return this.faultAlone(entry)
    if (seq <= this.last.seq) return this.broken('inserted', entry)
    if (seq > this.last.seq + 1) {
      if (this.last.seq >= (seal?.head.seq ?? 0)) return this.broken('inserted', entry)
      return this.broken('missing', { seq: this.last.seq + 1, id: undefined })
    }
    const key = keyOf(this.walk.keys, hash)
    if (key === undefined) return this.unknownKey(entry)
    const isNext = isSame(previous, this.last.hash)
    const isSealed = isSame(hash, sealOf(key, { ...entry, orgId: this.orgId, previous: this.last.hash }))
    if (!isSealed) return this.broken(isNext ? 'edited' : 'moved', entry)
    if (!isNext) return this.broken('edited', entry)
    this.last = entry
    return undefined
  }

  /** The entry before this one is not known, before the base and at the start of a walk: only the hash of this one can be checked. */
  private faultAlone(entry: SealedEntry): BrokenChain | undefined {
    const { seq, hash } = entry
    const key = keyOf(this.walk.keys, hash)
    if (key === undefined) return this.unknownKey(entry)
    if (!isSame(hash, sealOf(key, { ...entry, orgId: this.orgId }))) return this.broken('edited', entry)
    if (seq === this.base.seq && !isSame(hash, this.base.hash)) return this.broken('head', entry)
    if (seq > this.base.seq) this.last = entry
    return undefined
  }

  private isFirst({ seq }: SealedEntry): boolean {
    return this.entries === 0 && this.from > 0 && seq === this.from
  }

  private anchorFault(entry: SealedEntry): BrokenChain | undefined {
    const { anchor } = this.walk
    if (anchor?.seq !== entry.seq) return undefined
    this.isAnchored = true
    if (isSame(anchor.hash, entry.hash)) return undefined
    return this.broken('rewritten', entry)
  }

  /** `more` when entries were sealed since the last batch was read. */
  private async faultAtEnd(seal: Seal | undefined): Promise<BrokenChain | 'more' | undefined> {
    const head = seal?.head ?? { seq: 0, hash: noHash }
    if (this.last.seq < head.seq) {
      if (await this.moveBase()) return 'more'
      return this.broken('truncated', { seq: this.last.seq + 1, id: undefined })
    }
    const now = await readSeal(this.seals)
    if ((now?.head.seq ?? 0) > head.seq) return 'more'
    if (this.last.seq > head.seq) return this.broken('head', { seq: head.seq, id: undefined })
    if (!isSame(this.last.hash, head.hash)) return this.broken('head', { seq: head.seq, id: undefined })
    return this.anchorFaultAtEnd(head)
  }

  private anchorFaultAtEnd(head: Link): BrokenChain | undefined {
    const { anchor } = this.walk
    if (anchor === undefined || this.isAnchored) return undefined
    this.isAnchored = anchor.seq >= this.base.seq && anchor.seq >= this.from
    if (anchor.seq > head.seq) return this.broken('truncated', { seq: head.seq + 1, id: undefined })
    if (anchor.seq !== this.base.seq || isSame(anchor.hash, this.base.hash)) return undefined
    return this.broken('rewritten', { seq: anchor.seq, id: undefined })
  }

  /** Reads the base, and goes on from it where it lies behind the last entry. Returns whether it does. */
  private async moveBase(): Promise<boolean> {
    const { base } = (await readSeal(this.seals)) ?? { base: this.base }
    this.base = base
    if (base.seq <= this.last.seq) return false
    this.last = base
    return true
  }

  private broken(fault: ChainFault, { seq, id }: Pick<BrokenChain, 'seq' | 'id'>): BrokenChain {
    return { orgId: this.orgId, fault, seq, id }
  }

  private unknownKey(entry: SealedEntry): BrokenChain {
    return { ...this.broken('unknown key', entry), keyId: keyIdOf(entry.hash) }
  }

  /** How many numbers up to that one have an entry: of months that are still there. */
  private countUpTo(seq: number): Query<number> {
    const statement = ownStatement(
      this.rows.plan,
      ChainWalk,
      'counted',
      false,
      ({ sql, visible }) =>
        `select pg_catalog.count(distinct "seq") from ${sql} where ${visible} and "seq" between 1 and $2::bigint`,
    )
    return this.rows.run(
      statement,
      () => [seq],
      ({ rows: [row] }) => Number(row?.[0]),
    )
  }

  /** A smaller batch where the texts of the entries are too large for it. */
  private async batchAfter(place: Place): Promise<{ found: SealedEntry[]; size: number }> {
    const { done, batch } = await this.batches.run(batchSize, (size) => this.after(place, size))
    return { found: done, size: batch }
  }

  private after({ seq, id }: Place, size: number): Query<SealedEntry[]> {
    const statement = ownStatement(
      this.rows.plan,
      ChainWalk,
      'sealed',
      false,
      ({
        sql,
        visible,
      }) => `select "seq", "id", coalesce("hash", ''::bytea), coalesce("prev_hash", ''::bytea), ${contentHash}
        from ${sql} where ${visible} and ("seq", "id") > ($2::bigint, $3::uuid) order by "seq", "id" limit $4::bigint`,
    )
    return this.rows.run(
      statement,
      () => [seq, id, size],
      ({ rows }) =>
        rows.map((row) => {
          const [number, id, hash, previous, content] = row as [string, string, Uint8Array, Uint8Array, Uint8Array]
          return { seq: Number(number), id, hash, previous, content }
        }),
    )
  }
}
