import { beforeAll } from 'vitest'
import { takeBackfill, takeContract, takeExpand, takeProve } from '../../src/adoption/carrying/platform-steps.js'
import { takeSwap } from '../../src/adoption/carrying/swap.js'
import { undoLast } from '../../src/adoption/carrying/undo-steps.js'
import { dataKeysOf } from '../../src/encryption/data-keys.js'
import { keyringProvider } from '../../src/encryption/key-providers.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import type { DataKeys } from '../../src/core/sealing.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { ownerSession } from './adopting.js'
import { makeEarlierPlatform } from './earlier-platform.js'

/** The master keys of a process, as `TENANTRY_KEYS` has them. */
export const carryingKeys = `test:${Buffer.alloc(32, 7).toString('base64')}`

export const dataKeysFor = (keys: string): DataKeys => dataKeysOf(keyringProvider(loadKeyring(keys)))

/** The plan to which the subscriptions of an earlier platform of thirteen tables refer. */
export const addFreePlan = (session: Pick<Session, 'query'>): Promise<unknown> =>
  session.query(
    `insert into platform.billing_plans (id, name, price, currency, interval) values ('tier_free', 'Free', 0, 'USD', 'month')`,
  )

/** The steps of one schema, for tests that are about another part of the way. */
export function carrying(session: Session, schema: string, dataKeys = dataKeysFor(carryingKeys)) {
  return {
    expand: (...leave: readonly string[]) => takeExpand(session, schema, leave),
    backfill: (options?: Parameters<typeof takeBackfill>[3]) => takeBackfill(session, schema, dataKeys, options),
    prove: () => takeProve(session, schema, dataKeys),
    swap: () => takeSwap(session, schema, dataKeys),
    contract: () => takeContract(session, schema, dataKeys),
    down: () => undoLast(session, schema, dataKeys),
    downAll: async () => {
      while ((await undoLast(session, schema, dataKeys)) !== undefined);
    },
  }
}

export interface EarlierOptions {
  readonly isLarge?: boolean
  /** What is changed in it. */
  readonly changes?: readonly string[]
}

/** An earlier platform of a few rows, and its steps. */
export async function earlierPlatform(
  url: string,
  schema: string,
  { isLarge = false, changes = [] }: EarlierOptions = {},
) {
  const session = await ownerSession(url)
  await makeEarlierPlatform(session, { schema, isLarge }, 20)
  for (const statement of changes) await session.query(statement)
  return { session, ...carrying(session, schema) }
}

/** The first row of a query. */
export const oneOf = async (session: Session, text: string): Promise<Record<string, unknown>> => {
  const [row] = await session.query(text)
  return row ?? {}
}

/** The number of rows of `from …`. */
export const countOf = async (session: Session, text: string): Promise<number> =>
  Number((await oneOf(session, `select count(*)::int as count ${text}`)).count)

/** A database in which earlier platforms are made, each in a schema of its own. */
export function useEarlierPlatforms() {
  const database = useDatabase()
  beforeAll(() => addFreePlan(database.admin))
  return {
    database,
    earlier: (schema: string, options?: EarlierOptions) => earlierPlatform(database.adminUrl, schema, options),
  }
}

/** What a proof says that found every row equal, and none without a place. */
export const isProved = { isProved: true, unplaced: [] }
