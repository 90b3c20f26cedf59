import { z } from 'zod'
import { authorOf } from '../core/author.js'
import { InvalidInputError } from '../core/errors.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { compileFilter, type Filter, withCondition } from '../core/statements/filters.js'
import { planInsert } from '../core/statements/inserts.js'
import {
  type ListOptions,
  type Page,
  type PageContent,
  type PageOf,
  planList,
  type StreamOptions,
} from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { type Target, targetOf } from '../core/statements/target.js'
import { ownProperties, parseInput, type Values } from '../core/values.js'
import { type AuditEntry, auditLogs, newAuditEntry, type NewAuditEntry } from '../schema/audit-logs.js'
import * as shape from '../schema/shared/shapes.js'

export type AuditListOptions = ListOptions<AuditEntry> & {
  /** Only sealed entries with a greater number, in the order of their numbers. 0 begins with the first. */
  readonly afterSeq?: number | undefined
}

/** The fields of a filter, and when the entries were written. */
export type AuditExportOptions = Filter<AuditEntry> & {
  /** Inclusive. */
  readonly from?: Date | string | undefined
  /** Exclusive. Default: the moment at which the export begins. */
  readonly to?: Date | string | undefined
}

const options = { permission: 'audit' }
const period = z.strictObject({ from: shape.instant.optional(), to: shape.instant.optional() })
const pageOfExport = 100

/** The organization's audit log. Entries are written and read, and never changed. */
export class AuditLog extends ScopedRepository<AuditEntry> {
  constructor(scope: Scope) {
    super(scope, auditLogs, options)
  }

  /** Adds an event of the application: `org.audit.record({ eventType: 'report.sent' })`. The scope sets who did it. */
  record(values: NewAuditEntry): Query<AuditEntry> {
    const { reason, ...author } = authorOf(this.scope.context)
    return this.insertRow(reason === undefined ? newAuditEntry : withReason(reason), values, { managed: author })
  }

  /**
   * One page, newest first. With `afterSeq` it is a feed without gaps: sealed entries in the order of their numbers, so that a reader
   * who keeps the last number misses none.
   */
  override list<Name extends Field<AuditEntry> = Field<AuditEntry>, Total extends boolean = false>(
    options?: AuditListOptions & PageContent<Name, Total>,
  ): Query<PageOf<Selected<AuditEntry, Name>, Total>> {
    return this.listed(options) as Query<PageOf<Selected<AuditEntry, Name>, Total>>
  }

  private listed(options: AuditListOptions | undefined): Query<Page<AuditEntry>> {
    return this.scope.query(() => {
      this.authorize('audit:read')
      const { afterSeq, orderBy, ...given } = ownProperties(options ?? {}, 'options')
      if (afterSeq === undefined) return this.page({ ...given, orderBy: orderBy ?? '-createdAt' })
      if (orderBy !== undefined) throw new InvalidInputError('orderBy', 'cannot be combined with afterSeq')
      return this.page(withCondition(given, { seq: { gt: numberOf(afterSeq) } }), 'seq')
    })
  }

  /** Every entry, page by page, newest first. */
  override stream<Name extends Field<AuditEntry> = Field<AuditEntry>>(
    options?: StreamOptions<AuditEntry, Name>,
  ): AsyncGenerator<Selected<AuditEntry, Name>, void, undefined> {
    const { orderBy, ...given } = ownProperties(options ?? {}, 'options')
    return this.rows.stream({ ...given, orderBy: orderBy ?? '-createdAt' } as StreamOptions<AuditEntry, Name>)
  }

  /**
   * The entries as NDJSON, oldest first, for an answer: `new Response(await org.audit.export({ from }))`. It holds one page of them in
   * memory. The log gets an entry of the export first.
   */
  export(options?: AuditExportOptions): Promise<ReadableStream<Uint8Array>> {
    return this.scope.track(this.beginExport(options))
  }

  private async beginExport(options: unknown): Promise<ReadableStream<Uint8Array>> {
    this.authorize('audit:export')
    const { from, to, ...filter } = ownProperties(options ?? {}, 'options')
    const asked = parseInput(period, { from, to })
    // Refused now: the stream would be refused only after its entry was written and the answer had begun.
    compileFilter(this.plan, filter, this.plan.ownerPlaces, 'read')
    const { reason, ...author } = authorOf(this.scope.context)
    const metadata = {
      ...(reason !== undefined && { impersonationReason: reason }),
      ...(asked.from && { from: asked.from.toISOString() }),
      ...(asked.to && { to: asked.to.toISOString() }),
      ...(Object.keys(filter).length > 0 && { filteredBy: Object.keys(filter) }),
    }
    const event = { eventType: 'audit_logs.export', action: 'other', resourceType: 'audit_logs', metadata }
    const { id, createdAt } = await this.insertOwn({ ...author, ...event })
    // The moment has microseconds, and a Date has none.
    const end = new Date(createdAt.getTime() + 1)
    const before = asked.to !== undefined && asked.to < end ? asked.to : end
    const range = { ...(asked.from && { gte: asked.from }), lt: before }
    return this.streamed(withCondition(filter, { createdAt: range, not: { id } }))
  }

  /** Without the permission to write: the entry tells that somebody has read. */
  private insertOwn(values: Values): Query<AuditEntry> {
    return this.scope.query(() => {
      const { call, read, diagnose } = planInsert(this.target, values)
      return planned(call, read, diagnose)
    })
  }

  private streamed(filter: object): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder()
    let after: string | undefined
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const { items, next } = await this.scope.query(() => {
            this.authorize('audit:export')
            return this.page({ ...filter, orderBy: 'createdAt', limit: pageOfExport, after })
          })
          after = next
          if (items.length > 0)
            controller.enqueue(encoder.encode(items.map((entry) => `${JSON.stringify(entry)}\n`).join('')))
          if (next === undefined) controller.close()
        },
      },
      // Nothing is read ahead.
      { highWaterMark: 0 },
    )
  }

  private page(options: object, by?: 'seq') {
    return planList(this.target, this.scope.context.cursorKeys, options, by)
  }

  private authorize(permission: string): void {
    this.scope.context.rules.authorize(permission, undefined)
  }

  private get target(): Target<AuditEntry> {
    return targetOf(this.plan, this.scope.context.binding, this.plan.parents, undefined)
  }
}

/** The same input, which says in its metadata why somebody acts in the name of the person. */
const withReason = (impersonationReason: string) =>
  newAuditEntry.transform((values) => ({ ...values, metadata: { ...values.metadata, impersonationReason } }))

function numberOf(afterSeq: unknown): number {
  if (Number.isSafeInteger(afterSeq) && (afterSeq as number) >= 0) return afterSeq as number
  throw new InvalidInputError('afterSeq', 'must be the number of an entry, or 0')
}
