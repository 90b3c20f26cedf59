// `npm run bench`: the cost of isolation, as ratios within one interleaved run. `-- --check` fails when a goal is missed, `--
// --write` updates docs/performance.md, `-- --quick` takes half a minute and gives a first impression only, `-- audited access`
// measures these parts alone.
import { parseArgs } from 'node:util'
import { openAccess } from './access.js'
import { openAudited } from './audited.js'
import { openCrowd } from './crowd.js'
import { behindDelay, openBenchDatabase } from './database.js'
import { openIncluded } from './included.js'
import { latency, type Measured, throughput } from './measure.js'
import { pinToOneProcessor } from './one-processor.js'
import { ownJavaScript } from './own-javascript.js'
import { type Comparison, describe, type Goal, isMet, write } from './report.js'
import { openSealed } from './sealed.js'
import { openVariants } from './variants.js'

const boolean = { type: 'boolean', default: false } as const
const { values: asked, positionals: chosen } = parseArgs({
  options: { check: boolean, write: boolean, quick: boolean },
  allowPositionals: true,
})
const parts = { direct, delayed, access, audited, sealed, included, crowded, own }
const unknown = chosen.filter((part) => !Object.hasOwn(parts, part))
if (unknown.length > 0)
  throw new Error(`there is no part ${unknown.join(', ')}: there are ${Object.keys(parts).join(', ')}`)
if (asked.write && chosen.length > 0) throw new Error('docs/performance.md is written from a run of all parts')
const rounds = asked.quick ? 1 : 21
const warmUp = asked.quick ? 1 : 10
const bulkCalls = asked.quick ? 1 : 4
const milliseconds = 0.5

pinToOneProcessor()
const bench = await openBenchDatabase(asked.quick ? 500 : 5_000)
const comparisons: Comparison[] = []
const goals: Goal[] = []
try {
  for (const [part, measure] of Object.entries(parts)) if (chosen.length === 0 || chosen.includes(part)) await measure()
} finally {
  await bench.stop()
}

console.log(`\n${describe(comparisons, goals)}`)
if (asked.write) write(new URL('../docs/', import.meta.url), comparisons, goals)
if (asked.check && !goals.every(isMet)) process.exitCode = 1

async function direct(): Promise<void> {
  const variants = await openVariants(bench)
  const { raw, scoped } = variants
  const reads = await compare('point read', [
    raw('find'),
    raw('find', false),
    scoped('find'),
    variants.scopedBuilder,
    variants.builder,
    variants.isolated,
  ])
  goal('point read', ratio(reads, 'tenantry'), 0.95)
  goal('list of 50', ratio(await compare('list of 50', [raw('list'), scoped('list')], 100), 'tenantry'), 0.8)
  goal('update', ratio(await compare('update', [raw('update'), scoped('update')]), 'tenantry'), 1)
  goal('insert', ratio(await compare('insert', [raw('insert'), scoped('insert')]), 'tenantry'), 1)
  const five = await compare('five reads', [variants.fiveReads, variants.tick])
  goal('five reads of one tick', ratio(five, variants.tick.name), 0.4)
  const faster = ratio(reads, 'drizzle, transaction() with set_config') / ratio(reads, 'tenantry')
  goals.push({ what: 'point read, faster than drizzle transaction()', figure: faster, limit: 5, atLeast: true })
  const bulk = await compare('insert of 1,000 rows', [variants.append, variants.drizzleAppend], bulkCalls)
  await compare('insert of 1,000 rows, read back', [variants.insertMany, variants.drizzleInsertMany], bulkCalls)
  goals.push({ what: '1,000 rows, faster than drizzle', figure: ratio(bulk, 'drizzle'), limit: 3.9, atLeast: true })
  await variants.close()
}

async function delayed(): Promise<void> {
  const network = await behindDelay(bench.database.adminUrl, milliseconds)
  const variants = await openVariants(bench, 1, (url) => network.through(url))
  const { raw, scoped } = variants
  const where = `behind ${String(milliseconds)} ms of network`
  const reads = await compare(`point read ${where}`, [raw('find'), scoped('find'), variants.isolated], 60)
  goal(`point read ${where}`, ratio(reads, 'tenantry'), 1.1)
  const five = await compare(`five reads ${where}`, [variants.fiveReads, variants.batch, variants.tick], 60)
  goal(`batch of five reads ${where}`, ratio(five, variants.batch.name), 0.3)
  goal(`five reads of one tick ${where}`, ratio(five, variants.tick.name), 0.27)
  await variants.close()
  network.stop()
}

async function access(): Promise<void> {
  const variants = await openAccess(bench)
  const { read, checked, key, limited, session } = variants
  const reads = await compare('a read with an actor', [read, checked])
  goal('read with an actor, against one without', ratio(reads, checked.name), 1.01)
  const entries = await compare('authentication', [read, session, key, limited])
  goal('API key authentication, against a scoped read', ratio(entries, key.name), 1.6)
  goal('API key authentication with an hourly limit', ratio(entries, limited.name), 1.6)
  goal('session authentication, against a scoped read', ratio(entries, session.name), 1.6)
  await variants.close()
}

async function audited(): Promise<void> {
  const variants = await openAudited(bench)
  const { rename, auditedRename, move, auditedMove, create, auditedCreate } = variants
  const pairs = [
    ['audited update of an indexed column', move, auditedMove],
    ['audited update of another column', rename, auditedRename],
    ['audited create', create, auditedCreate],
  ] as const
  for (const [title, plain, audited] of pairs)
    goal(`${title}, against a plain one`, ratio(await compare(title, [plain, audited]), audited.name), 1.65)
  await variants.close()
}

async function sealed(): Promise<void> {
  const variants = await openSealed(bench)
  const { write, sealedWrite, read, reveal } = variants
  const writes = await compare('write of a sealed column', [write, sealedWrite])
  goal('sealed write, against a plain write', ratio(writes, sealedWrite.name), 2.5)
  // A reveal is a read that writes its entry.
  await compare('reveal of a sealed column', [read, reveal])
  await variants.close()
}

async function included(): Promise<void> {
  const variants = await openIncluded(bench)
  const { one, relationalOne, many, relationalMany, plain } = variants
  const measured = await compare('page of 50 agents with their projects', [one, relationalOne, plain], 50)
  goals.push({
    what: "page of 50 with one include, faster than Drizzle's relational query",
    figure: ratio(measured, relationalOne.name) / ratio(measured, one.name),
    limit: 2,
    atLeast: true,
  })
  await compare('page of 20 projects with 10 agents each', [many, relationalMany], 50)
  await variants.close()
}

async function crowded(): Promise<void> {
  await crowd('48 callers over 10 connections', 48, {}, 1.6)
  await crowd('200 callers over 10 connections', 200, {}, 2)
  await crowd('48 callers over 2 connections, against 10 of pg', 48, { own: 2 }, 1.3)
  const network = await behindDelay(bench.database.adminUrl, 3)
  await crowd('48 callers over 10 connections behind 3 ms of network', 48, { route: network.through }, 3.5)
  network.stop()
}

/** How many point reads of many organizations there are in a second. */
async function crowd(
  who: string,
  callers: number,
  options: Parameters<typeof openCrowd>[1],
  limit: number,
): Promise<void> {
  const variants = await openCrowd(bench, options)
  const { raw, scoped } = variants
  const measured = await throughput([raw, scoped], { rounds: asked.quick ? 1 : 11, seconds: 1, callers })
  const what = `point reads of ${who}`
  comparisons.push({ title: what, unit: 'calls/s', measured })
  goals.push({ what, figure: ratio(measured, scoped.name), limit, atLeast: true })
  await variants.close()
}

async function own(): Promise<void> {
  const figure = await ownJavaScript(bench, asked.quick ? 1 : 11)
  goals.push({ what: 'own JavaScript of a hot point read', figure, limit: 5, unit: 'µs' })
}

async function compare(title: string, variants: Parameters<typeof latency>[0], calls = 200): Promise<Measured[]> {
  const measured = await latency(variants, { rounds, calls, warmUp })
  comparisons.push({ title, unit: 'µs', measured })
  return measured
}

function ratio(measured: readonly Measured[], name: string): number {
  return measured.find((variant) => variant.name === name)?.ratio ?? Number.NaN
}

function goal(what: string, figure: number, limit: number): void {
  goals.push({ what, figure, limit })
}
