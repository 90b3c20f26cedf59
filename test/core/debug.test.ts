import { inspect } from 'node:util'
import { eq, sql } from 'drizzle-orm'
import { beforeAll, describe, expect, test } from 'vitest'
import { InvalidInputError, NotFoundError, TenantryError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { QueryEvent } from '../../src/core/tracing.js'
import type { Org } from '../../src/org.js'
import { agents } from '../../src/schema/index.js'
import { type Engine, engines, useEngines } from '../support/engines.js'

const { open, asOwner } = useEngines()

/** The error that the work ends with. */
async function failure(work: Promise<unknown>): Promise<TenantryError> {
  const error: unknown = await work.then(
    () => 'it went well',
    (reason: unknown) => reason,
  )
  if (!(error instanceof TenantryError)) throw new Error(`no error of ours: ${String(error)}`)
  return error
}

async function openOrg(engine: Engine, debug: boolean): Promise<Org> {
  const opened = await open(engine, { debug })
  return opened.newOrg()
}

/** Everywhere that a log could take it from. */
const everything = (error: Error): string =>
  [
    inspect(error, { depth: null, showHidden: true }),
    JSON.stringify(error),
    error.stack,
    String(error),
    inspect(error.cause),
  ].join('\n')

/** The first frame of a stack: where somebody looks first. */
const firstFrame = (error: Error): string | undefined =>
  error.stack?.split('\n').find((line) => line.startsWith('    at '))

const text = 'select id, nothing from platform.agents where org_id = $1'
const mistaken = (org: Org) => org.db.execute(sql`select id, nothing from platform.agents where org_id = ${org.id}`)

describe.each(engines)('over the %s', (engine) => {
  test('with debug, an error says what the server said of which statement', async () => {
    const org = await openOrg(engine, true)
    const error = await failure(mistaken(org))
    expect(error).toMatchObject({
      code: 'query',
      debug: { sqlstate: '42703', position: 12, text, message: 'column "nothing" does not exist' },
    })
    await org.agents.create({ name: 'Ada', username: 'ada' })
    const taken = await failure(org.agents.create({ name: 'Eve', username: 'ada' }))
    expect(taken).toMatchObject({
      code: 'conflict',
      debug: {
        sqlstate: '23505',
        position: undefined,
        text: expect.stringMatching(/insert into "platform"."agents"/) as unknown,
        message: 'duplicate key value violates unique constraint "agents_username_key"',
      },
    })
    // It is for the log, and not for the client of an API.
    expect(JSON.stringify(taken)).toBe(JSON.stringify({ code: taken.code, message: taken.message }))
    expect(inspect(taken)).toContain('agents_username_key')
  })

  test('with debug, the statement is the one of several that failed', async () => {
    const org = await openOrg(engine, true)
    const ada = await org.agents.create({ name: 'Ada', username: 'ada' })
    await org.agents.create({ name: 'Eve', username: 'eve' })
    const inBatch = org.batch((all) => [
      all.agents.count(),
      all.agents.update(ada.id, { username: 'eve' }),
      all.agents.count(),
    ])
    expect((await failure(inBatch)).debug).toMatchObject({
      sqlstate: '23505',
      text: expect.stringMatching(/update "platform"."agents"/) as unknown,
    })
    const inTransaction = org.transaction(async (tx) => {
      await tx.agents.count()
      await mistaken(tx)
    })
    expect((await failure(inTransaction)).debug).toMatchObject({ sqlstate: '42703', text })
    const unknown = await open(engine, { debug: true })
    expect((await failure(unknown.tenancy.forOrg(newId()).agents.count())).debug).toMatchObject({
      sqlstate: 'TN001',
      text: 'select platform.enter_org($1::uuid), $2::text',
      message: 'no such organization',
    })
  })

  test('without debug, nothing of that is anywhere', async () => {
    const org = await openOrg(engine, false)
    await org.agents.create({ name: 'Ada', username: 'ada' })
    const errors = [
      await failure(mistaken(org)),
      await failure(org.agents.create({ name: 'Eve', username: 'ada' })),
      await failure(org.transaction(mistaken)),
    ]
    for (const error of errors) {
      expect(error).not.toHaveProperty('debug')
      expect(everything(error)).not.toMatch(/42703|23505|select|insert into|nothing|duplicate key|agents_username_key/)
    }
  })

  test('with debug, a stack begins at the caller’s line', async () => {
    const org = await openOrg(engine, true)
    await org.agents.create({ name: 'Ada', username: 'ada' })
    const eve = { name: 'Eve', username: 'ada' }
    const callers: Record<string, () => Promise<unknown>> = {
      async callsOnce() {
        await org.agents.create(eve)
      },
      async isRefusedBefore() {
        await org.agents.create({ name: 5 } as never)
      },
      async findsNothing() {
        await org.agents.get(newId())
      },
      async asksInBatch() {
        await org.batch((all) => [all.agents.create(eve)])
      },
      async asksInTransaction() {
        await org.transaction(async function insideOfIt(tx) {
          await tx.agents.count()
          await tx.agents.create(eve)
        })
      },
      async usesTheBuilder() {
        await org.db
          .update(agents)
          .set({ name: sql`nothing` })
          .where(eq(agents.orgId, org.id))
      },
      async sendsText() {
        await mistaken(org)
      },
      async streams() {
        await org.agents.stream({ orderBy: 'nothing' } as never).next()
      },
    }
    const inside: Record<string, string> = { asksInTransaction: 'insideOfIt', sendsText: 'mistaken' }
    for (const [name, call] of Object.entries(callers)) {
      const error = await failure(call())
      expect(firstFrame(error), error.stack).toMatch(new RegExp(`\\b${inside[name] ?? name}\\b.*debug\\.test\\.ts`))
      expect(error.stack, name).toContain(`${error.name}: ${error.message}\n    at `)
    }
  })

  test('with debug, calls that nobody awaits in a transaction end no process, and errors of the caller stay as they are', async () => {
    const org = await openOrg(engine, true)
    const forgetful = org.transaction(async (tx) => {
      void tx.agents.get(newId())
      void tx.agents.create({ name: 5 } as never)
      await Promise.resolve()
    })
    expect(await failure(forgetful)).toBeInstanceOf(TenantryError)
    const own = new Error('changed my mind')
    const { stack } = own
    await expect(org.transaction(() => Promise.reject(own))).rejects.toBe(own)
    expect(own.stack).toBe(stack)
  })
})

describe.each(engines.flatMap((engine) => [[engine, true] as const, [engine, false] as const]))(
  'a secret that is given as a parameter, over the %s, debug: %s',
  (engine, debug) => {
    const secret = `marker_${newId().replaceAll('-', '')}`
    const upper = secret.toUpperCase()

    beforeAll(async () => {
      await asOwner(
        engine,
        `create or replace function public.complain(what text, state text) returns void language plpgsql as
         $$ begin raise exception using errcode = state, message = what; end $$`,
      )
      await asOwner(engine, 'grant execute on function public.complain(text, text) to tenantry_app')
    })

    const statements = [
      sql`select ${secret}::uuid`,
      sql`select ${secret}::int`,
      sql`select ${secret}::jsonb`,
      sql`select ${secret}::regclass`,
      sql`select ${secret}::regtype`,
      sql`select ${secret}::regproc`,
      sql`select ${secret}::regrole`,
      sql`select ${secret}::regconfig`,
      sql`select ${secret}::regnamespace`,
      sql`select ${secret}::regoper`,
      sql`select ${`${secret} &`}::tsquery`,
      sql`select ${`'${secret}`}::tsvector`,
      sql`select ${`$ ${secret}`}::jsonpath`,
      sql`select ${`{${secret}`}::text[]`,
      sql`select nextval(${secret})`,
      sql`select current_setting(${secret})`,
      sql`select to_tsvector(${secret}::regconfig, 'x')`,
      sql`select now() at time zone ${secret}`,
      sql`select 'a' ~ ${`(${secret}`}`,
      sql`select pg_catalog.has_table_privilege(${secret}, 'select')`,
      sql`select encode('x', ${secret})`,
      sql`select ${'x'.repeat(3_000)}::tsvector || ${secret.repeat(100)}::tsquery::text::tsvector`,
      ...['P0001', '23505', '42501', 'TN001', '40001', '57014', '22000', '53100'].map(
        (state) => sql`select public.complain(${secret}, ${state})`,
      ),
    ]

    test('is in no error and no event', async () => {
      const events: QueryEvent[] = []
      const opened = await open(engine, { debug, onQuery: (event) => events.push(event) })
      const org = await opened.newOrg()
      await org.agents.create({ name: secret, username: secret })
      const errors: Error[] = [
        await failure(org.agents.create({ name: secret, username: secret, settings: { secret } })),
        await failure(org.agents.create({ name: secret, username: `${secret}_2`, projectId: newId() })),
        await failure(org.agents.get(secret)),
        await failure(org.agents.update(newId(), { name: secret })),
        await failure(org.agents.list({ after: secret })),
        await failure(org.db.insert(agents).values({ orgId: org.id, id: newId(), name: secret, username: upper })),
        await failure(org.db.insert(agents).values({ orgId: org.id, id: secret, name: secret, username: secret })),
        await failure(org.transaction((tx) => tx.agents.create({ name: secret, username: secret }))),
      ]
      for (const statement of statements) errors.push(await failure(org.db.execute(statement)))
      const leaks = new RegExp(`${secret}|${upper}`)
      for (const error of errors) expect(everything(error)).not.toMatch(leaks)
      expect(events.length).toBeGreaterThan(errors.length - 4)
      for (const event of events) {
        expect(inspect(event, { depth: null, showHidden: true }) + JSON.stringify(event)).not.toMatch(leaks)
      }
      // Else the marker would be nowhere because nothing is.
      const states = errors.flatMap((error) => (error instanceof TenantryError ? (error.debug?.sqlstate ?? []) : []))
      expect(states).toEqual(
        debug ? expect.arrayContaining(['23505', '22P02', '42P01', '42704', '42601', 'P0001']) : [],
      )
      expect(errors.some((error) => error instanceof NotFoundError)).toBe(true)
      expect(errors.some((error) => error instanceof InvalidInputError)).toBe(true)
    })
  },
)
