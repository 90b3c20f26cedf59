import { beforeAll, expect } from 'vitest'
import type { ProofFault } from '../../src/core/errors.js'
import { type Proof, proveConnection } from '../../src/access/connection-proof.js'
import type { Declarations } from '../../src/access/rights.js'
import { proveStartup, searchPathOf, type StartupProofOptions } from '../../src/access/startup-proof.js'
import type { Session } from '../../src/database/session.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { platformTables } from '../../src/schema/tables.js'
import type { TestFileDatabase } from '../../src/testing/vitest.js'
import { tenantry } from '../cli/command-line.js'
import { undone } from '../support/nested-session.js'
import type { Plant } from './plants.js'

export interface Planted {
  readonly prove: (options?: Partial<StartupProofOptions>, declared?: Declarations) => Promise<Proof>
  readonly proveConnection: () => Promise<Proof>
  /** Does what a mend says, and nothing else. */
  readonly mend: (how: string) => Promise<void>
  readonly explain: () => Promise<string>
}

/** Plants faults into the database of a test file, proves it as a login, and takes everything back. */
export function usePlants(database: TestFileDatabase) {
  let declarations: Declarations
  beforeAll(async () => {
    declarations = await declarationsOf(platformTables, [platformMigrations])
  })
  const urlOf = (role: string) => (role === 'tenantry_app' ? database.appUrl : database.systemUrl)

  const withPlant = <T>(
    plant: Plant,
    role: StartupProofOptions['role'],
    work: (planted: Planted) => Promise<T>,
  ): Promise<T> =>
    undone(database.admin, async (session) => {
      const names = { login: new URL(urlOf(role)).username, role, ...(await databaseAndOwner(session)) }
      const run = async (statements: readonly string[]) => {
        for (const sql of statements) {
          await session.query(sql.replaceAll(/\{(\w+)\}/g, (_, name: keyof typeof names) => names[name]))
        }
      }
      const asLogin = async (prove: () => Promise<Proof>): Promise<Proof> => {
        await session.query(`set local session authorization ${names.login}`)
        await run(plant.as ?? [])
        const proof = await prove()
        await session.query('set local session authorization default')
        return proof
      }
      await run(plant.sql)
      return work({
        prove: (options, declared = declarations) =>
          asLogin(() => proveStartup(session, declared, { role, ...options })),
        proveConnection: () => asLogin(() => proveConnection(session, { role, schemas: searchPathOf(declarations) })),
        mend: async (how) => {
          const name = `${new URL(database.adminUrl).pathname.slice(1)}new`
          const another = /create (?:app|system)_login/
          await doMend(session, how.replace(another, `create ${name}`))
          if (another.test(how)) names.login = name
        },
        explain: () => explained(session, (spied) => proveStartup(spied, declarations, { role })),
      })
    })
  return { withPlant, urlOf }
}

async function databaseAndOwner(session: Session): Promise<{ database: string; owner: string }> {
  const [row] = await session.query<{ database: string; owner: string }>(
    'select current_database() as database, current_user as owner',
  )
  return row ?? { database: '', owner: '' }
}

const command = /^npx tenantry ([^#]+?)(?: #.*)?$/

/** A command runs as the command line runs it; everything else is SQL, as it stands there. */
async function doMend(session: Session, how: string): Promise<void> {
  const [, args] = command.exec(how) ?? []
  if (args !== undefined) {
    const env = { DATABASE_ADMIN_URL: 'postgres://the-session-of-the-test' }
    const ran = await tenantry(args.split(' '), { env, session })
    expect(ran, how).toMatchObject({ code: 0, stderr: expect.not.stringContaining('rror') as string })
    return
  }
  for (const sql of how.split(/; (?=create|drop)/)) await session.query(sql)
}

/** Whether a mend is a command or SQL; if not, it is advice for a person. */
export const canBeRun = (how: string) =>
  command.test(how) || /^(alter|create|drop|grant|revoke|reassign) /.test(how.trimStart())

export async function isFoundAndMended(plant: Plant, { prove, mend }: Planted): Promise<void> {
  let proof = await prove()
  expect(namesOf(proof)).toEqual(plant.faults)
  if (plant.advice !== undefined) {
    expect(proof.faults.filter((fault) => canBeRun(fault.mend))).toEqual([])
    return
  }
  if (plant.refused !== undefined) {
    for (const fault of proof.faults) await expect(mend(fault.mend)).rejects.toThrow()
    return
  }
  // A function that is missing has no rights to be looked at, and a role that is missing no members.
  for (let round = 1; round <= 3 && proof.faults.length > 0; round += 1) {
    for (const fault of proof.faults) await mend(fault.mend)
    proof = await prove()
  }
  expect(proof.faults).toEqual([])
}

/** The plan of the one statement that `work` sends. */
async function explained(session: Session, work: (spied: Session) => Promise<unknown>): Promise<string> {
  let plan = ''
  await work({
    ...session,
    async query<Row>(text: string, params?: readonly unknown[]) {
      const [row] = await session.query<Record<string, string>>(`explain ${text}`, params)
      plan += Object.values(row ?? {})[0] ?? ''
      return session.query<Row>(text, params)
    },
  })
  return plan
}

export const namesOf = ({ faults }: { readonly faults: readonly ProofFault[] }) => faults.map(({ fault }) => fault)
