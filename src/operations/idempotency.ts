import { z } from 'zod'
import { authorOf } from '../core/author.js'
import { DefinitionError, IdempotencyMismatchError, InvalidInputError, RetryableError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { parseInput, readOptions } from '../core/values.js'
import { copyJson, type JsonValue } from '../schema/shared/json.js'
import * as shape from '../schema/shared/shapes.js'
import { digestOf } from './request-digest.js'

/** A value as JSON gives it back: a Date is text, and what is undefined is left out. */
export type JsonOf<T> = unknown extends T
  ? JsonValue
  : T extends string | number | boolean | null
    ? T
    : T extends Date
      ? string
      : undefined extends T
        ? null
        : T extends readonly (infer Item)[]
          ? JsonOf<Item>[]
          : T extends object
            ? { [Name in keyof T]: JsonOf<Exclude<T[Name], undefined>> }
            : never

export interface IdempotentOptions {
  /** How many hours the answer is kept. Default: 24. */
  readonly keepHours?: number | undefined
  /** As in `transaction`: how often the whole function may run again after a RetryableError. Default: 0. */
  readonly retries?: number | undefined
}

const keyOf = z.strictObject({ key: shape.label(255), keepHours: shape.int(1, 8760) })

/**
 * Runs `work` once for the key: its effects, the key and the answer are one transaction. Whoever comes with the same key waits for it, and
 * gets the same answer.
 */
export function idempotent(
  scope: Scope,
  key: string,
  request: unknown,
  work: (scope: Scope) => Promise<unknown>,
  options?: IdempotentOptions,
): Promise<JsonValue> {
  const run = async (): Promise<JsonValue> => {
    const asked = read(key, request, work, options)
    const row = [ownerId(scope, 'org'), keeperOf(scope), asked.key] as const
    return scope.transaction((inner) => once(inner, row, asked, work), { retries: asked.retries })
  }
  return scope.track(run())
}

/** Whoever acts in a person's name has keys of their own for each person: the stored answers are not theirs. The backend is ''. */
function keeperOf({ context }: Scope): string {
  if (context.actor === undefined) return ''
  const { actorId, actorLabel, onBehalfOf } = authorOf(context)
  const keeper = actorId ?? actorLabel ?? ''
  return context.actor.impersonation === undefined ? keeper : `${keeper} for ${onBehalfOf}`
}

async function once(
  scope: Scope,
  row: Row,
  asked: Asked,
  work: (scope: Scope) => Promise<unknown>,
): Promise<JsonValue> {
  const id = newId()
  if (!(await claim(scope, row, id, asked))) return answered(scope, row, asked.digest)
  const answer = JSON.stringify(jsonOf(await work(scope), refusedAnswer))
  if (scope.context.tokens.isIn(answer)) throw refusedAnswer('has a token, which would be stored as it is')
  const values = [row[0], id, answer]
  // As it is stored: with its fields in the order in which everybody else gets them.
  return scope.query(() => planned({ statement: settle, values }, ({ rows }) => rows[0]?.[0] as JsonValue))
}

interface Asked {
  readonly key: string
  readonly digest: Buffer
  readonly keepHours: number
  readonly retries: number | undefined
}

function read(key: unknown, request: unknown, work: unknown, options: unknown): Asked {
  const { keepHours = 24, retries } = readOptions(options, ['keepHours', 'retries']) as IdempotentOptions
  const given = parseInput(keyOf, { key, keepHours })
  if (typeof work !== 'function') {
    throw new InvalidInputError('work', 'must be a function, such as `(org) => org.agents.create(values)`')
  }
  return { ...given, digest: digestOf(jsonOf(request, refusedRequest)), retries }
}

/** A copy. Throws what `refuse` makes for what JSON cannot store, and for a Secret, which would be stored as `[secret]`. */
function jsonOf(value: unknown, refuse: (fault: string) => Error): JsonValue {
  const copy = copyJson(value ?? null, 'as text')
  if ('value' in copy) return copy.value
  throw refuse(copy.fault)
}

const refusedRequest = (fault: string) => new InvalidInputError('request', fault)
/** It is not the client's. */
const refusedAnswer = (fault: string) => new DefinitionError(`the answer of an idempotent call ${fault}`)

type Row = readonly [orgId: string, actor: string, key: string]

/** Whether the key is this transaction's. Waits for another one that has it. */
async function claim(scope: Scope, row: Row, id: string, { digest, keepHours }: Asked): Promise<boolean> {
  const forget = { statement: forgetExpired, values: row }
  const call = { statement: insert, values: [...row, id, digest, keepHours] }
  return scope.query(() => planned(call, ({ rowCount }) => rowCount === 1, undefined, [forget]))
}

/** The answer of whoever had the key first. */
async function answered(scope: Scope, row: Row, digest: Buffer): Promise<JsonValue> {
  const found = await scope.query(() => planned({ statement: find, values: [...row, digest] }, ({ rows }) => rows[0]))
  // It has expired and was removed since.
  if (found === undefined) throw new RetryableError('serialization')
  const [isSame, isDone, result] = found as [boolean, boolean, JsonValue]
  if (!isSame) throw new IdempotencyMismatchError()
  // No other transaction sees a row that is not done.
  if (!isDone) throw new DefinitionError('an idempotent call has called itself, with its own key')
  return result
}

const forgetExpired = statement(
  `delete from platform.idempotency_keys
   where org_id = $1 and actor = $2::text and key = $3::text and expires_at <= statement_timestamp()`,
  'change',
)

const insert = statement(
  `insert into platform.idempotency_keys (org_id, id, key, actor, request_hash, expires_at)
   values ($1, $4::uuid, $3::text, $2::text, $5::bytea, statement_timestamp() + pg_catalog.make_interval(hours => $6::int))
   on conflict (org_id, actor, key) do nothing returning 1`,
  'change',
)

const settle = statement(
  `update platform.idempotency_keys set state = 'done', result = $3::jsonb, updated_at = statement_timestamp()
   where org_id = $1 and id = $2 returning result`,
  'change',
)

const find = statement(
  `select request_hash = $4::bytea, state = 'done', result from platform.idempotency_keys where org_id = $1 and actor = $2::text and key = $3::text`,
  'read',
)
