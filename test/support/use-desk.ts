import { afterAll, inject } from 'vitest'
import { ownPermissions } from '../../src/access/own-permissions.js'
import type { Session } from '../../src/database/session.js'
import { type OwnTables, setOf } from '../../src/declared.js'
import { downgrade } from '../../src/migrations/downgrade.js'
import { type DownTarget, platformMigrations } from '../../src/migrations/migrator.js'
import { upgrade, type UpgradeOptions } from '../../src/migrations/upgrade.js'
import { platformTables } from '../../src/schema/tables.js'
import { createTestDatabase } from '../../src/testing/template.js'
import { writeFolder } from '../migrations/migrations-folder.js'
import * as schema from './desk-schema.js'

export const deskPermissions = { 'tickets:read': 'See tickets', 'tickets:write': 'Change tickets' }

export const deskFiles = {
  tag: '0000_desk',
  up: schema.deskMigration,
  down: ['drop table desk.replies', 'drop table desk.tickets', 'drop schema desk'],
}

/** The tables of desk-schema with permissions of the host's own. */
export async function deskWith(given: Pick<OwnTables, 'permissions' | 'roles'> = {}): Promise<OwnTables> {
  return { schema, migrations: await writeFolder([deskFiles]), ...given }
}

const installed = (own: OwnTables) => ({
  sets: [platformMigrations, setOf(own)],
  tables: [...platformTables, schema.tickets, schema.replies],
  permissions: ownPermissions(own, 'own.'),
})

export const upgradeDesk = (session: Session, own: OwnTables, options: UpgradeOptions = {}) =>
  upgrade(session, installed(own), options)

export const downgradeDesk = (session: Session, own: OwnTables, target: DownTarget = {}) =>
  downgrade(session, installed(own), target)

/** Databases with the library's tables, one for each test that changes the catalog of permissions. */
export function useCatalogs() {
  const ends: (() => Promise<void>)[] = []
  afterAll(() => Promise.all(ends.map((end) => end())))
  return async () => {
    const template = inject('tenantry')
    if (template === undefined) throw new Error('no test server was started')
    const database = await createTestDatabase(template)
    ends.push(() => database.close())
    return database
  }
}
