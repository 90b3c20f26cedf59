import { describe, expect, test } from 'vitest'
import { bringPermissions } from '../../src/access/permissions.js'
import { newId } from '../../src/core/ids.js'
import { openSession, type Session } from '../../src/database/session.js'
import { bringOwnPermissions, removeOwnPermissions } from '../../src/migrations/bring-own-permissions.js'
import { withMigrationLock } from '../../src/database/session-lock.js'
import { downgrade, previewDowngrade } from '../../src/migrations/downgrade.js'
import { migrateDown, platformMigrations } from '../../src/migrations/migrator.js'
import { setOf } from '../../src/declared.js'
import { ownPermissions } from '../../src/access/own-permissions.js'
import { builtInRoles, permissionCatalog } from '../../src/schema/built-in-roles.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { writeFolder } from './migrations-folder.js'
import { behindChange } from '../support/waiting.js'
import { deskFiles, deskPermissions, deskWith, downgradeDesk, upgradeDesk, useCatalogs } from '../support/use-desk.js'

const newDatabase = useCatalogs()
const reading = { 'tickets:read': 'See tickets' }

/** An organization with the built-in roles, and one of its own that has `permissions`. */
async function organization(admin: Session, permissions: readonly string[] = []): Promise<string> {
  const orgId = await createOrganization(admin)
  await admin.query(
    `insert into platform.roles (org_id, id, key, name, built_in)
     select $1, gen_random_uuid(), r.key, r.key, r.key <> 'support' from unnest($2::text[]) r(key)`,
    [orgId, [...builtInRoles.map(({ key }) => key), 'support']],
  )
  await admin.query(
    `insert into platform.role_permissions (org_id, role_key, permission) select $1, 'support', unnest($2::text[])`,
    [orgId, permissions],
  )
  return orgId
}

/** The holders of the host's permissions in an organization, such as `member tickets:read`. */
const held = async (admin: Session, orgId: string): Promise<string[]> =>
  (
    await admin.query<{ held: string }>(
      `select role_key || ' ' || permission as held from platform.role_permissions where org_id = $1 and permission ~ '^tickets' order by 1`,
      [orgId],
    )
  ).map(({ held }) => held)

const catalog = (admin: Session) =>
  admin.query<{ key: string; description: string }>(
    `select key, description from platform.permissions where key ~ '^tickets' order by 1`,
  )

/** Each row with the transaction that wrote it. */
const versions = (admin: Session) =>
  admin.query(
    `select xmin::text, org_id, role_key, permission from platform.role_permissions
     union all select xmin::text, null, null, key from platform.permissions order by 2, 3, 4`,
  )

const libraryKeys = async (admin: Session): Promise<string[]> =>
  (await admin.query<{ key: string }>(`select key from platform.permissions where key !~ '^tickets'`)).map(
    ({ key }) => key,
  )

describe('up', () => {
  test('brings them into the catalog and to owner, admin and the named role of every organization', async () => {
    const { admin } = await newDatabase()
    const orgs = [await organization(admin), await organization(admin)]
    const own = await deskWith({ permissions: deskPermissions, roles: { member: ['tickets:read'] } })

    const up = await upgradeDesk(admin, own)
    expect(up.permissions).toEqual(['tickets:read', 'tickets:write'])
    expect(up.own).toMatchObject({ given: 10, taken: 0, former: [] })
    expect(await catalog(admin)).toEqual([
      { key: 'tickets:read', description: 'See tickets' },
      { key: 'tickets:write', description: 'Change tickets' },
    ])
    for (const orgId of orgs) {
      expect(await held(admin, orgId)).toEqual([
        'admin tickets:read',
        'admin tickets:write',
        'member tickets:read',
        'owner tickets:read',
        'owner tickets:write',
      ])
    }
    expect((await libraryKeys(admin)).sort()).toEqual(Object.keys(permissionCatalog).sort())
  })

  test('changes nothing when it runs again, and the sync of the library leaves them alone', async () => {
    const { admin } = await newDatabase()
    const orgId = await organization(admin, [])
    const own = await deskWith({ permissions: reading })
    await upgradeDesk(admin, own)
    const before = await versions(admin)

    const again = await upgradeDesk(admin, own)
    expect(again).toMatchObject({ permissions: [], own: { given: 0, taken: 0, former: [] } })
    expect(await bringPermissions(admin)).toEqual([])
    expect(await versions(admin)).toEqual(before)
    expect(await held(admin, orgId)).toEqual(['admin tickets:read', 'owner tickets:read'])
  })

  test('two at once bring them once', async () => {
    const { admin, adminUrl } = await newDatabase()
    const orgId = await organization(admin)
    const own = await deskWith({ permissions: deskPermissions })
    const sessions = await Promise.all([openSession({ url: adminUrl }), openSession({ url: adminUrl })])
    const ups = await Promise.all(sessions.map((session) => upgradeDesk(session, own)))
    await Promise.all(sessions.map((session) => session.close()))

    expect(ups.map(({ permissions }) => permissions.length).sort()).toEqual([0, 2])
    expect(ups.map((up) => up.own?.given ?? 0).sort()).toEqual([0, 4])
    expect(await held(admin, orgId)).toHaveLength(4)
  })

  test('an organization that is there gets a permission and a role that are added later, and loses what a role lost', async () => {
    const { admin } = await newDatabase()
    const orgId = await organization(admin)
    await upgradeDesk(admin, await deskWith({ permissions: reading, roles: { member: ['tickets:read'] } }))

    const more = { ...deskPermissions, 'tickets:read': 'See every ticket' }
    const up = await upgradeDesk(admin, await deskWith({ permissions: more, roles: { customer: ['tickets:read'] } }))
    expect(up).toMatchObject({ permissions: ['tickets:write'], own: { given: 3, taken: 1 } })
    expect(await held(admin, orgId)).toEqual([
      'admin tickets:read',
      'admin tickets:write',
      'customer tickets:read',
      'owner tickets:read',
      'owner tickets:write',
    ])
    expect(await catalog(admin)).toContainEqual({ key: 'tickets:read', description: 'See every ticket' })
  })

  test('a role that the organization made is not given what a built-in role of that key would get, and keeps what it has', async () => {
    const { admin } = await newDatabase()
    await upgradeDesk(admin, await deskWith({ permissions: deskPermissions }))
    const orgId = await createOrganization(admin)
    await admin.query(`insert into platform.roles (org_id, id, key, name) values ($1, $2, 'member', 'Member')`, [
      orgId,
      newId(),
    ])
    await admin.query(
      `insert into platform.role_permissions (org_id, role_key, permission) values ($1, 'member', 'tickets:write')`,
      [orgId],
    )
    await upgradeDesk(admin, await deskWith({ permissions: deskPermissions, roles: { member: ['tickets:read'] } }))
    expect(await held(admin, orgId)).toEqual(['member tickets:write'])
  })

  test('one that the config does not name any more is kept and told, until it is dropped on purpose', async () => {
    const { admin } = await newDatabase()
    const orgId = await organization(admin)
    await upgradeDesk(admin, await deskWith({ permissions: deskPermissions }))
    await admin.query(
      `insert into platform.role_permissions (org_id, role_key, permission) values ($1, 'support', 'tickets:write')`,
      [orgId],
    )
    const own = await deskWith({ permissions: reading })

    expect((await upgradeDesk(admin, own)).own).toMatchObject({ former: ['tickets:write'], taken: 0 })
    expect(await held(admin, orgId)).toContain('admin tickets:write')
    const dropped = await upgradeDesk(admin, own, { dropPermissions: true })
    expect(dropped.own).toMatchObject({
      former: [],
      removed: {
        keys: ['tickets:write'],
        roles: [{ organization: `org-${orgId}`, role: 'support', lost: ['tickets:write'] }],
      },
    })
    expect(await held(admin, orgId)).toEqual(['admin tickets:read', 'owner tickets:read'])
    expect((await upgradeDesk(admin, own)).own).toMatchObject({ former: [] })
  })

  test('what another build brought, or a hand, is neither removed nor told as of an earlier config', async () => {
    const { admin } = await newDatabase()
    await admin.query(`insert into platform.permissions (key, description) values ('tickets:print', 'By hand')`)
    const up = await upgradeDesk(admin, await deskWith({ permissions: reading }), { dropPermissions: true })
    expect(up.own).toMatchObject({ former: [], removed: { keys: [] } })
    expect((await catalog(admin)).map(({ key }) => key)).toEqual(['tickets:print', 'tickets:read'])
  })

  test("the library's migrations alone bring none, and tell none as left over", async () => {
    const { admin } = await newDatabase()
    const own = await deskWith({ permissions: reading })
    const up = await upgradeDesk(admin, own, { only: [platformMigrations] })
    expect(up).toMatchObject({ permissions: [] })
    expect(up.own).toBeUndefined()
    expect(await catalog(admin)).toEqual([])
  })

  test('a lock that is not free in time is waited for in bounds', async () => {
    const { admin, adminUrl } = await newDatabase()
    const own = await deskWith({ permissions: reading })
    await upgradeDesk(admin, own)
    const other = await openSession({ url: adminUrl })
    await other.query('begin')
    await other.query(`select from platform.permissions where key = 'tickets:read' for key share`)
    const removing = withMigrationLock(admin, {}, () =>
      removeOwnPermissions(admin, ['tickets:read'], { lockTimeout: 50, attempts: 2 }),
    )
    await expect(removing).rejects.toThrow(/your permissions: a lock was not free in time.*Gave up after 2 attempts/)
    await other.query('rollback')
    await other.close()
    expect(await catalog(admin)).toHaveLength(1)
  })

  test('a role that is given one meanwhile loses it with the others', async () => {
    const { admin, adminUrl } = await newDatabase()
    await upgradeDesk(admin, await deskWith({ permissions: reading }))
    const orgId = await organization(admin)
    const other = await openSession({ url: adminUrl })
    const give = () =>
      admin.query(
        `insert into platform.role_permissions (org_id, role_key, permission) values ($1, 'support', 'tickets:read')`,
        [orgId],
      )
    const removed = await behindChange(admin, give, () =>
      withMigrationLock(other, {}, () => removeOwnPermissions(other, ['tickets:read'], { lockTimeout: 20_000 })),
    )
    await other.close()
    expect(removed.roles).toEqual([{ organization: `org-${orgId}`, role: 'support', lost: ['tickets:read'] }])
    expect(await held(admin, orgId)).toEqual([])
    expect(await catalog(admin)).toEqual([])
  })

  test('a connection that does not hold the lock of the migrator is refused', async () => {
    const { admin } = await newDatabase()
    const own = await deskWith({ permissions: reading })
    await expect(bringOwnPermissions(admin, setOf(own), ownPermissions(own, 'own.'))).rejects.toThrow(
      'does not keep its advisory lock',
    )
  })
})

describe('down', () => {
  test('removes them with the last of the migrations of the host, also from the roles that organizations made', async () => {
    const { admin } = await newDatabase()
    const orgId = await organization(admin, ['agents:read'])
    const own = await deskWith({ permissions: deskPermissions, roles: { member: ['tickets:read'] } })
    await upgradeDesk(admin, await deskWith({ permissions: { ...deskPermissions, 'tickets:print': 'Print' } }))
    await admin.query(
      `insert into platform.role_permissions (org_id, role_key, permission) select $1, 'support', unnest($2::text[])`,
      [orgId, ['tickets:read', 'tickets:print']],
    )

    const down = await downgradeDesk(admin, own)
    expect(down.steps.map(({ tag }) => tag)).toEqual(['0000_desk'])
    expect(down.permissions).toEqual({
      keys: ['tickets:print', 'tickets:read', 'tickets:write'],
      roles: [{ organization: `org-${orgId}`, role: 'support', lost: ['tickets:print', 'tickets:read'] }],
    })
    expect(await catalog(admin)).toEqual([])
    expect(await held(admin, orgId)).toEqual([])
    expect(await libraryKeys(admin)).toHaveLength(Object.keys(permissionCatalog).length)
    const [left] = await admin.query(
      `select count(*)::int as count from platform.role_permissions where org_id = $1 and role_key = 'support'`,
      [orgId],
    )
    expect(left).toEqual({ count: 1 })
    const recorded = await admin.query(`select from platform_migrations.inventory where what = 'permission'`)
    expect(recorded).toEqual([])

    await upgradeDesk(admin, own)
    expect(await held(admin, orgId)).toHaveLength(5)
  })

  test('keeps them while a migration of the host is applied', async () => {
    const { admin } = await newDatabase()
    const own = await deskWith({ permissions: reading })
    const further = {
      tag: '0001_index',
      up: 'create index on desk.tickets (org_id)',
      down: 'drop index desk.tickets_org_id_idx',
    }
    const two = { ...own, migrations: await writeFolder([deskFiles, further]) }
    await upgradeDesk(admin, two)
    expect(await previewDowngrade(admin, { sets: [setOf(two)] }, {})).toMatchObject({ permissions: [] })
    expect((await downgradeDesk(admin, two)).permissions.keys).toEqual([])
    expect(await catalog(admin)).toHaveLength(1)

    expect(await previewDowngrade(admin, { sets: [setOf(two)] }, {})).toMatchObject({ permissions: ['tickets:read'] })
    expect((await downgradeDesk(admin, two)).permissions.keys).toEqual(['tickets:read'])
  })

  test('is finished by the same command where it was interrupted after the migration', async () => {
    const { admin } = await newDatabase()
    const own = await deskWith({ permissions: reading })
    await upgradeDesk(admin, own)
    await migrateDown(admin, [setOf(own)])
    expect(await catalog(admin)).toHaveLength(1)
    const { steps, permissions } = await downgrade(admin, { sets: [setOf(own)] })
    expect([steps, permissions.keys]).toEqual([[], ['tickets:read']])
    expect(await catalog(admin)).toEqual([])
  })

  test('of everything leaves no record', async () => {
    const { admin } = await newDatabase()
    const own = await deskWith({ permissions: reading })
    await upgradeDesk(admin, own)
    await downgradeDesk(admin, own, { all: true })
    const recorded = await admin.query(`select from platform_migrations.inventory where what = 'permission'`)
    expect(recorded).toEqual([])
    expect((await upgradeDesk(admin, own)).permissions).toHaveLength(Object.keys(permissionCatalog).length + 1)
  })
})
