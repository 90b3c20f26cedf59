import { afterAll, beforeAll } from 'vitest'
import { z } from 'zod'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { keyringProvider } from '../../src/encryption/key-providers.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import type { KeyContext, KeyProvider } from '../../src/core/sealing.js'
import { type Credentials, credentials, credentialSecretsPatch, newCredentials } from '../../src/schema/credentials.js'
import { type Database, databases, databaseSecrets, newDatabase } from '../../src/schema/databases.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import type { OnQuery } from '../../src/core/tracing.js'
import { keys, useTeams } from './use-teams.js'

const sealedCredentials = newCredentials.extend(credentialSecretsPatch.shape)
const sealedDatabase = newDatabase.extend(databaseSecrets.partial().shape)

/** Every verb that seals, over a table with three sealed columns. */
export class Vault extends ScopedRepository<Credentials> {
  constructor(scope: Scope) {
    super(scope, credentials)
  }

  create = (values: object) => this.insertRow(sealedCredentials, values)
  replace = (id: string, values: object) =>
    this.updateRow(credentialSecretsPatch.extend({ anonKey: z.any().optional() }), id, values)
  replaceAll = (values: object) => this.updateRows({ rotatedAt: null }, { ...values })
  reveal = (id: string) => this.revealRow(id, ['anonKey', 'serviceRoleKey', 'jwtSecret'])
  revealOne = (key: object, names: readonly string[]) =>
    this.revealRow(key, names, { permission: 'credentials:reveal' })
}

/** A table with one sealed column, which takes many rows at once. */
export class SealedDatabases extends ScopedRepository<Database> {
  constructor(scope: Scope) {
    super(scope, databases, { permission: 'projects' })
  }

  create = (values: object) => this.insertRow(sealedDatabase, values)
  createMany = (values: readonly object[]) => this.insertRows(sealedDatabase, values)
  replace = (id: string, connectionString: unknown) => this.updateRow(databaseSecrets, id, { connectionString })
  reveal = (id: string) => this.revealRow(id, ['connectionString'])
}

/** The provider of the teams' master key, which writes down what it unwraps. */
export function recordingProvider(): { provider: KeyProvider; unwrapped: KeyContext[] } {
  const inner = keyringProvider(loadKeyring(keys))
  const unwrapped: KeyContext[] = []
  const provider: KeyProvider = {
    ...inner,
    unwrap(key, context) {
      unwrapped.push(context)
      return inner.unwrap(key, context)
    },
  }
  return { provider, unwrapped }
}

/** Teams with rows that have secrets. */
export function useVault() {
  const teams = useTeams()
  const opened: Tenancy[] = []
  let second: Tenancy | undefined
  beforeAll(async () => {
    second = await openTenancy({ url: teams.database.appUrl, pool: { max: 4 }, keys })
  })
  afterAll(async () => {
    for (const tenancy of [second, ...opened]) await tenancy?.close({ drain: 0 })
  })
  return {
    teams,
    /** Another process of the application, with caches of its own. */
    get second(): Tenancy {
      if (second === undefined) throw new Error('read the tenancy in tests and hooks only')
      return second
    },
    async open(options: { keyProvider?: KeyProvider; onQuery?: OnQuery } = {}): Promise<Tenancy> {
      const { appUrl: url, systemUrl } = teams.database
      const tenancy = await openTenancy({ url, systemUrl, pool: { max: 4 }, keys, ...options })
      opened.push(tenancy)
      return tenancy
    },
    /** An organization with two projects, and credentials of the first. */
    async newVault() {
      const team = await teams.newTeam()
      const [one, two] = [
        await team.org.projects.create({ name: 'One', slug: 'one' }),
        await team.org.projects.create({ name: 'Two', slug: 'two' }),
      ]
      const vault = team.org.repository(Vault)
      const secrets = { anonKey: 'anon-marker', serviceRoleKey: 'role-marker', jwtSecret: 'jwt-marker' }
      const row = await vault.create({ projectId: one.id, ...secrets })
      return { team, org: team.org, projectIds: [one.id, two.id] as const, vault, row, secrets }
    },
  }
}
