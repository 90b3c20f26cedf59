import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { containing, tenantry } from '../cli/command-line.js'
import { keys } from '../support/use-teams.js'
import { clusterUrl, whyWithoutCluster } from '../support/use-cluster.js'

const name = `tenantry_older_${randomBytes(4).toString('hex')}`
const password = randomBytes(8).toString('hex')

describe.skipIf(clusterUrl === undefined)(`a database that is older than its nodes${whyWithoutCluster}`, () => {
  const coordinator = new URL(clusterUrl ?? 'postgres://nowhere')
  coordinator.pathname = `/${name}`
  const login = new URL(coordinator)
  login.username = `${name}_app`
  login.password = password
  const owner = new URL(coordinator)
  owner.username = `${name}_owner`
  const env = { DATABASE_ADMIN_URL: owner.href }
  /** In the database that each server has anyway, the coordinator’s first. */
  const servers: Session[] = []
  let orgId: string

  const onEach = async (text: string): Promise<void> => {
    for (const server of servers) await server.query(text)
  }
  const run = async (...args: string[]) => {
    const ran = await tenantry(args, { env })
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    return ran
  }
  const open = () => openTenancy({ url: login.href, pool: { max: 2 }, keys })

  beforeAll(async () => {
    if (clusterUrl === undefined) return
    const first = await openSession({ url: clusterUrl })
    const nodes = await first.query<{ host: string; port: number }>(
      'select nodename as host, nodeport as port from pg_dist_node order by groupid',
    )
    await first.close()
    for (const { host, port } of nodes) {
      const url = new URL(clusterUrl)
      Object.assign(url, { hostname: host, port: String(port), pathname: '/postgres' })
      servers.push(await openSession({ url: url.href }))
    }
    await onEach(`create database ${name}`)
    await servers[0]?.query(`create role ${name}_owner login createrole`)
    await servers[0]?.query(`alter database ${name} owner to ${name}_owner`)
    // As on one server, before anybody thought of a cluster.
    await run('migrate', 'up')
    await servers[0]?.query(`create role ${name}_app login password '${password}' in role tenantry_app`)
    await servers[0]?.query(`alter role ${name}_app set application_name = 'older'`)
    const plain = await openSession({ url: coordinator.href })
    orgId = await createOrganization(plain)
    await plain.query('create extension citus')
    for (const { host, port } of nodes.slice(1)) {
      const url = new URL(coordinator)
      Object.assign(url, { hostname: host, port: String(port) })
      const worker = await openSession({ url: url.href })
      await worker.query('create extension citus')
      await worker.close()
    }
    const { hostname, port } = coordinator
    await plain.query('select citus_set_coordinator_host($1, $2)', [hostname, Number(port)])
    await plain.close()
  })
  afterAll(async () => {
    await onEach(`drop database if exists ${name} with (force)`)
    for (const role of ['app', 'late', 'owner']) await onEach(`drop role if exists ${name}_${role}`)
    await Promise.all(servers.map((server) => server.close()))
  })

  test('is told that there is no other node, before it is distributed', async () => {
    expect((await run('distribute', '--dry-run')).stdout).toContain('knows no other node that takes shards')
    expect((await run('distribute', '--dry-run', '--json')).json()).toMatchObject({ workers: 0 })
  })

  test(
    'gets its functions and logins on every node, with their rights and passwords',
    { timeout: 300_000 },
    async () => {
      const session = await openSession({ url: coordinator.href })
      for (const server of servers.slice(1)) {
        const [node] = await server.query<{ port: number }>('select inet_server_port() as port')
        await session.query('select citus_add_node($1, $2)', [coordinator.hostname, node?.port])
      }
      const done = (await run('distribute', '--json')).json() as { done: string[]; workers: number }
      expect(done.workers).toBe(servers.length - 1)
      expect(done.done).toContainEqual(containing('create_distributed_function'))
      expect((await run('distribute', '--json')).json()).toMatchObject({ tables: [], done: [], remaining: [] })
      const functions = `
      select coalesce(string_agg(p.oid::regprocedure || ' ' || p.proowner::regrole || ' ' || p.prosecdef || ' ' || coalesce(p.proconfig::text, '') || ' ' ||
        (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a), e'\\n'
        order by p.oid::regprocedure::text), '') as list
      from pg_proc p where p.pronamespace = 'platform'::regnamespace`
      const [here] = await session.query<{ list: string }>(functions)
      const there = await session.query<{ result: string }>('select result from run_command_on_workers($1)', [
        functions,
      ])
      expect(there.map(({ result }) => result)).toEqual(there.map(() => here?.list))
      const roles = `select rolpassword || ' ' || (select setconfig::text from pg_db_role_setting where setrole = r.oid) as told from pg_authid r
      where rolname = '${name}_app'`
      const [role] = await session.query<{ told: string }>(roles)
      const copies = await session.query<{ result: string }>('select result from run_command_on_workers($1)', [roles])
      expect(copies.map(({ result }) => result)).toEqual(copies.map(() => role?.told))
      await session.close()
    },
  )

  test('serves the application as before', async () => {
    const tenancy = await open()
    const org = tenancy.forOrg(orgId)
    const made = await org.transaction(async (tx) => {
      const project = await tx.projects.create({ name: 'Shop', slug: 'shop' })
      await tx.agents.create({ name: 'Ada', username: 'ada', projectId: project.id })
      return project
    })
    expect(await org.projects.get(made.id)).toEqual(made)
    await tenancy.close()
  })

  test('does not start with a login or without a function that the nodes do not have', async () => {
    const session = await openSession({ url: coordinator.href })
    await session.query('set citus.enable_create_role_propagation = off')
    await session.query(`create role ${name}_late login password '${password}' in role tenantry_app`)
    const late = new URL(login)
    late.username = `${name}_late`
    const refused = await openTenancy({ url: late.href, keys }).catch((error: unknown) => error)
    expect(String(refused)).toContain(`the login ${name}_late is on the coordinator alone`)
    expect(String(refused)).toContain('npx tenantry distribute')
    const { done } = (await run('distribute', '--json')).json() as { done: string[] }
    expect(done).toContainEqual(containing(`to ${name}_late`))
    await (await openTenancy({ url: late.href, keys })).close()
    await session.query(`drop role ${name}_late`)

    await session.query('set citus.enable_metadata_sync = off')
    await session.query(`create function platform.alone() returns int language sql as 'select 1'`)
    const lacking = await open().catch((error: unknown) => error)
    expect(String(lacking)).toContain('the function platform.alone() is on the coordinator alone')
    await session.query('drop function platform.alone()')
    await session.close()
  })

  test('is not distributed while the functions of the extension are closed to the application', async () => {
    const session = await openSession({ url: coordinator.href })
    const right = 'execute on function pg_catalog.relation_is_a_known_shard(regclass)'
    // What the role has that created it, if it also migrates.
    await session.query(`grant ${right} to ${name}_owner`)
    await session.query(`revoke ${right} from public`)
    const refused = await tenantry(['distribute'], { env })
    expect(refused).toMatchObject({ code: 1, stderr: containing('let another superuser create it') })
    await session.query(`grant ${right} to public`)
    await session.close()
  })
})
