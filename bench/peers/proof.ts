import assert from 'node:assert/strict'
import { NotFoundError } from 'tenantry'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

/** Checks, before any measurement, that a read returns every column of its own organization's task and nothing of another's. */
export async function proveIsolation(
  { name, read, isIsolated }: Peer,
  { database, orgId, taskIds }: BenchDatabase,
): Promise<void> {
  const [id = ''] = taskIds
  const [own] = await database.admin.query<object>('select * from platform.tasks where org_id = $1 and id = $2', [
    orgId,
    id,
  ])
  const [foreign] = await database.admin.query<{ orgId: string; id: string }>(
    'select org_id as "orgId", id from platform.tasks where org_id <> $1 limit 1',
    [orgId],
  )
  assert(own && foreign)
  assert.deepEqual(
    inColumns((await read(orgId, { orgId, id })) ?? {}),
    inColumns(own),
    `${name}: another row than asked for`,
  )
  if (isIsolated === false) return
  assert.equal((await orNothing(read(orgId, foreign))) ?? null, null, `${name}: a row of another organization`)
  // The row of the other organization exists.
  assert(await read(foreign.orgId, foreign), `${name}: no row for its own organization`)
}

async function orNothing<Row>(reading: Promise<Row>): Promise<Row | undefined> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/** Under the names of the columns, whatever names the library uses. */
const inColumns = (row: object): object =>
  Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  )
