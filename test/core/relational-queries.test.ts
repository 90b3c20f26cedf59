import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { declare } from '../../src/declared.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import type { Org } from '../../src/org.js'
import { credentials } from '../../src/schema/credentials.js'
import type { Ciphertext } from '../../src/schema/shared/ciphertext.js'
import { openTenancy } from '../../src/tenancy.js'
import { openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { writeFolder } from '../migrations/migrations-folder.js'
import * as desk from '../support/desk-schema.js'
import { engines } from '../support/engines.js'
import { deskPermissions } from '../support/use-desk.js'

interface Opened {
  newOrg(): Promise<Org>
  close(): Promise<void>
}

const database = useDatabase()
let folder: string
beforeAll(async () => {
  folder = await writeFolder([{ tag: '0000_desk', up: desk.deskMigration, down: ['drop schema desk cascade'] }])
})
afterAll(() => rm(folder, { recursive: true }))

/** As the restricted login, with the host's tables migrated and proved like the library's. */
async function openServer(): Promise<Opened> {
  const own = { schema: desk, migrations: folder, permissions: deskPermissions }
  await upgrade(database.admin, await declare(own))
  const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
  const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 2 }, keys, own })
  return {
    newOrg: async () => tenancy.forOrg(await createOrganization(database.admin)),
    close: () => tenancy.close({ drain: 0 }),
  }
}

const open = {
  server: openServer,
  embedded: (): Promise<Opened> =>
    openEmbeddedTenancy({ schema: desk, migrations: folder, permissions: deskPermissions }),
}

describe.each(engines)('on the %s database', (engine) => {
  let opened: Opened
  let org: Org
  let other: Org

  beforeAll(async () => {
    opened = await open[engine]()
    org = await opened.newOrg()
    other = await opened.newOrg()
    for (const one of [org, other]) await fill(one)
  })
  afterAll(() => opened.close())

  test('a row of the library comes with the rows that it refers to, and with those that refer to it', async () => {
    const [task] = await org.db.query.tasks.findMany({ with: { workflow: { with: { schedules: true } }, agent: true } })
    expect(task?.workflow).toMatchObject({ orgId: org.id, slug: 'triage' })
    expect(task?.workflow?.schedules).toMatchObject([{ orgId: org.id, name: 'nightly' }])
    expect(task?.agent?.username).toBe('ada')
    expect(task?.agent?.createdAt).toBeInstanceOf(Date)

    const found = await org.db.query.agents.findMany({ with: { tasks: { with: { parent: true, children: true } } } })
    expect(found).toMatchObject([{ username: 'ada', tasks: [{ kind: 'greet', parent: null, children: [] }] }])
  })

  test('tables of the host, and joins with tables of the library, return their rows', async () => {
    const db = org.database(desk)
    const [ticket] = await db.query.tickets.findMany({ with: { agent: { with: { tasks: true } }, replies: true } })
    expect(ticket).toMatchObject({ orgId: org.id, subject: 'dark', replies: [{ orgId: org.id, text: 'a lamp' }] })
    expect(ticket?.agent?.tasks).toMatchObject([{ orgId: org.id, kind: 'greet' }])

    const agent = await db.query.agents.findFirst({ with: { tickets: { with: { replies: true } }, project: true } })
    expect(agent).toMatchObject({ username: 'ada', project: null })
    expect(agent?.tickets).toMatchObject([{ orgId: org.id, subject: 'dark', replies: [{ text: 'a lamp' }] }])

    expect(await db.query.workflows.findMany({ with: { tasks: true } })).toMatchObject([{ tasks: [{ kind: 'greet' }] }])
  })

  test('bytes of a related row are bytes, as those of the row itself', async () => {
    const { id: projectId } = await org.projects.create({ name: 'Shop', slug: 'shop' })
    const anonKey = Buffer.from([0, 1, 254, 255]) as Uint8Array as Ciphertext
    await org.db.insert(credentials).values({ orgId: org.id, id: newId(), projectId, anonKey })
    const [project] = await org.db.query.projects.findMany({ with: { credentials: true } })
    const [alone] = await org.db.query.credentials.findMany()
    expect(project?.credentials?.anonKey).toEqual(anonKey)
    expect(alone?.anonKey).toEqual(anonKey)
  })

  test('nothing of another organization comes with a row, whatever is asked for', async () => {
    const db = org.database(desk)
    const found = [
      await db.query.tickets.findMany({ with: { agent: true, replies: true } }),
      await db.query.agents.findMany({ with: { tickets: true, tasks: true } }),
      await db.query.tickets.findMany({
        where: (ticket, { eq }) => eq(ticket.orgId, other.id),
        with: { replies: true },
      }),
    ]
    expect(found.map((rows) => rows.length)).toEqual([1, 1, 0])
    expect(JSON.stringify(found)).not.toContain(other.id)
  })

  test('inside a transaction too', async () => {
    const found = await org.transaction(async (tx) => {
      await tx
        .database(desk)
        .insert(desk.replies)
        .values({ orgId: org.id, id: newId(), ...(await replyOf(tx)) })
      return tx.database(desk).query.tickets.findFirst({ with: { replies: true } })
    })
    expect(found?.replies).toHaveLength(2)
  })
})

const replyOf = async (org: Org) => {
  const ticket = await org.database(desk).query.tickets.findFirst()
  return { ticketId: ticket?.id ?? '', text: 'another' }
}

async function fill(org: Org): Promise<void> {
  const agent = await org.agents.create({ name: 'Ada', username: 'ada' })
  const workflow = await org.workflows.create({ name: 'Triage', slug: 'triage' })
  await org.schedules.create({ workflowId: workflow.id, name: 'nightly', cron: '0 2 * * *', timezone: 'UTC' })
  await org.tasks.enqueue({ kind: 'greet', agentId: agent.id, workflowId: workflow.id })
  const ticketId = newId()
  const db = org.database(desk)
  await db.insert(desk.tickets).values({ orgId: org.id, id: ticketId, subject: 'dark', agentId: agent.id })
  await db.insert(desk.replies).values({ orgId: org.id, id: newId(), ticketId, text: 'a lamp' })
}
