import { expect, test } from 'vitest'
import {
  BrokenReferenceError,
  ConflictError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
  PlanLimitError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { auditedRows, entriesOf, faultsOf } from '../support/audited-rows.js'
import { contend, race, waitersFor } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const disk = (sizeGb: number) => ({ sizeGb, ioBudget: 100, autoscaleGrowthPercent: 10 })
const machine = { instanceSize: 'small', cpuCores: '2', memoryGb: '4.5' } as const

let made = 0
const newProject = ({ org }: Team) => org.projects.create({ name: 'Project', slug: `project-${++made}` })

async function teamWith(limits: Parameters<typeof teams.newPlan>[0]) {
  const team = await teams.newTeam({ plan: await teams.newPlan(limits) })
  return { team, org: team.org, disks: team.org.projects.disk }
}

test('a disk is made, changed and read, and never becomes smaller', async () => {
  const { team, disks } = await teamWith({})
  const { id } = await newProject(team)
  expect(await disks.find(id)).toBeUndefined()
  await expect(disks.get(id)).rejects.toThrow(NotFoundError)
  const first = await disks.configure(id, disk(20))
  expect(first).toMatchObject({ projectId: id, sizeGb: 20, autoscaleEnabled: false, autoscaleLimitGb: null })
  const grown = await disks.configure(id, { ...disk(30), autoscaleEnabled: true, autoscaleLimitGb: 100 })
  expect(grown).toMatchObject({ id: first.id, sizeGb: 30, autoscaleLimitGb: 100 })
  const refused = await disks.configure(id, disk(29)).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(ConflictError)
  expect(refused).toMatchObject({
    fields: ['sizeGb'],
    message: 'disk_config: a disk only grows, and this one has 30 GB',
  })
  expect(await disks.configure(id, { ...disk(30), ioBudget: 5 })).toMatchObject({ ioBudget: 5, autoscaleLimitGb: 100 })
  expect(await disks.get(id)).toMatchObject({ sizeGb: 30 })
  await expect(disks.configure(newId(), disk(10))).rejects.toThrow(BrokenReferenceError)
  await expect(disks.configure(id, disk(7))).rejects.toThrow(InvalidInputError)
  await expect(disks.configure(id, { ...disk(40), autoscaleLimitGb: 39 })).rejects.toThrow('autoscaleLimitGb')
})

test('the gigabytes of live projects count towards the plan, and a deleted project frees its own', async () => {
  const { team, org, disks } = await teamWith({ disk_gb: 100 })
  const [one, two] = [await newProject(team), await newProject(team)]
  await disks.configure(one.id, disk(60))
  await expect(disks.configure(two.id, disk(41))).rejects.toMatchObject({
    limitName: 'disk_gb',
    limit: 100,
    current: 60,
  })
  await disks.configure(two.id, disk(40))
  await expect(disks.configure(one.id, disk(61))).rejects.toThrow(PlanLimitError)
  await org.projects.delete(two.id)
  await expect(disks.configure(one.id, disk(100))).resolves.toMatchObject({ sizeGb: 100 })
})

race('of 50 who ask for a disk at once, as many are served as there is room for', async () => {
  const { team, org, disks } = await teamWith({ disk_gb: 50 })
  const projects = await Promise.all(Array.from({ length: 50 }, () => newProject(team)))
  const { won, lost } = await contend((n) => disks.configure(projects[n]?.id ?? '', disk(10)), 50)
  expect(won).toHaveLength(5)
  expect(lost.every((error) => error instanceof PlanLimitError)).toBe(true)
  expect((await org.entitlements.get()).limits.disk_gb).toEqual({ limit: 50, used: 50 })
})

race('20 who configure the disk of one project leave one row, and the largest size', async () => {
  const { team, disks } = await teamWith({})
  const { id } = await newProject(team)
  const { lost } = await contend((n) => disks.configure(id, disk(10 + n)))
  expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
  expect(await disks.get(id)).toMatchObject({ sizeGb: 29 })
})

test('after a downgrade a project comes back only while its disk fits', async () => {
  const { team, org, disks } = await teamWith({ disk_gb: 100, maxProjects: 3 })
  const [one, two, bare] = [await newProject(team), await newProject(team), await newProject(team)]
  await disks.configure(one.id, disk(40))
  await disks.configure(two.id, disk(40))
  await org.projects.delete(two.id)
  await org.projects.delete(bare.id)
  await teams.subscribe(team, await teams.newPlan({ disk_gb: 79, maxProjects: 3 }))
  await expect(org.projects.restore(two.id)).rejects.toMatchObject({ limitName: 'disk_gb', limit: 79, current: 40 })
  await expect(org.projects.restore(bare.id)).resolves.toMatchObject({ id: bare.id })
  await teams.subscribe(team, await teams.newPlan({ disk_gb: 80, maxProjects: 2 }))
  await expect(org.projects.restore(two.id)).rejects.toMatchObject({ limitName: 'max_projects' })
  await teams.subscribe(team, await teams.newPlan({ disk_gb: 80, maxProjects: 3 }))
  await expect(org.projects.restore(two.id)).resolves.toMatchObject({ id: two.id })
  expect(await disks.get(two.id)).toMatchObject({ sizeGb: 40 })
  await teams.subscribe(team, await teams.newPlan({ disk_gb: 20 }))
  await expect(disks.configure(one.id, { ...disk(40), ioBudget: 1 })).resolves.toMatchObject({ ioBudget: 1 })
})

test('a machine is described and read', async () => {
  const { team, org } = await teamWith({})
  const { compute } = org.projects
  const { id } = await newProject(team)
  await expect(compute.get(id)).rejects.toThrow(NotFoundError)
  const first = await compute.configure(id, machine)
  expect(first).toMatchObject({ instanceSize: 'small', cpuCores: '2.00', memoryGb: '4.50' })
  expect(await compute.configure(id, { ...machine, instanceSize: 'large' })).toMatchObject({ id: first.id })
  expect(await compute.get(id)).toMatchObject({ instanceSize: 'large' })
  await expect(compute.configure(newId(), machine)).rejects.toThrow(BrokenReferenceError)
  await expect(compute.configure(id, { ...machine, cpuCores: '0' })).rejects.toThrow('cpuCores')
})

test('those of a deleted project are hidden, cannot be changed, and come back with it', async () => {
  const { team, org, disks } = await teamWith({})
  const { id } = await newProject(team)
  await disks.configure(id, disk(20))
  await org.projects.compute.configure(id, machine)
  await org.projects.delete(id)
  expect(await disks.find(id)).toBeUndefined()
  expect(await org.projects.compute.find(id)).toBeUndefined()
  await expect(disks.configure(id, disk(30))).rejects.toThrow(BrokenReferenceError)
  await org.projects.restore(id)
  expect(await disks.get(id)).toMatchObject({ sizeGb: 20 })
})

test('whoever configures a disk waits for a deletion that is under way, and is refused then', async () => {
  const { team, org } = await teamWith({})
  const { id } = await newProject(team)
  let late: Promise<unknown> | undefined
  await org.transaction(async (tx) => {
    await tx.projects.delete(id)
    late = org.projects.compute.configure(id, machine).catch((error: unknown) => error)
    await waitersFor(teams.database.admin, '%for share%compute_config%', 1)
  })
  expect(await late).toBeInstanceOf(BrokenReferenceError)
})

test('a role in the project reaches the disk and the machine of that project alone', async () => {
  const { team, org, disks } = await teamWith({})
  const [one, two] = [await newProject(team), await newProject(team)]
  await disks.configure(one.id, disk(20))
  await disks.configure(two.id, disk(20))
  const { userId } = await team.join('customer')
  await org.projects.members.add(one.id, { userId, role: 'developer' })
  const { disk: mine, compute } = (await team.as(userId)).projects
  expect(await mine.get(one.id)).toMatchObject({ sizeGb: 20 })
  await mine.configure(one.id, disk(30))
  await compute.configure(one.id, machine)
  for (const call of [
    () => mine.get(two.id),
    () => mine.configure(two.id, disk(30)),
    () => compute.get(two.id),
    () => compute.configure(two.id, machine),
  ])
    await expect(call()).rejects.toThrow(ForbiddenError)
})

test('changes are in the audit log with old and new values, refusals are not, and a batch takes them', async () => {
  const { team, org } = await teamWith({})
  const { id } = await newProject(team)
  const { admin } = teams.database
  const changed = async (call: () => Promise<unknown>) => {
    const [before, earlier] = [await auditedRows(admin, team.id), (await entriesOf(admin, team.id)).length]
    await call()
    const entries = (await entriesOf(admin, team.id)).slice(earlier)
    return { faults: faultsOf(before, await auditedRows(admin, team.id), entries), count: entries.length }
  }
  const inBatch = () => org.batch((tx) => [tx.projects.disk.configure(id, disk(20)), tx.projects.disk.get(id)])
  expect(await changed(inBatch)).toEqual({ faults: [], count: 1 })
  expect(await changed(() => org.projects.disk.configure(id, disk(25)))).toEqual({ faults: [], count: 1 })
  const smaller = () => expect(org.projects.disk.configure(id, disk(8))).rejects.toThrow(ConflictError)
  expect(await changed(smaller)).toEqual({ faults: [], count: 0 })
})
