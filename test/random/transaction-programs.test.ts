import { expect, test } from 'vitest'
import type { Org } from '../../src/org.js'
import { openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { useTenancy } from '../support/use-tenancy.js'
import { drawProgram, prepare, type Report, runProgram } from './transaction-programs.js'
import { Random } from './world.js'

const bench = useTenancy()

/** Some lanes at once, each one program after the other. */
async function runPrograms(org: Org, programs: number, seed: number, lanes: number): Promise<Report[]> {
  const random = new Random(seed)
  const agent = await prepare(org)
  const drawn = Array.from({ length: programs }, (_, index) => drawProgram(random, `p${index}`))
  const reports: Report[] = []
  const left = drawn.values()
  const lane = async (): Promise<void> => {
    for (const program of left) {
      const report = await runProgram(org, agent, program)
      if (report.faults.length > 0)
        expect.fail(`${report.faults.join('\n')}\n${JSON.stringify(program.block, null, 1)}`)
      reports.push(report)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return reports
}

/** Programs in which nothing fails, or nothing succeeds, would prove little. */
function expectVariety(reports: readonly Report[]): void {
  const share = (of: (report: Report) => number) => reports.filter((report) => of(report) > 0).length / reports.length
  expect(share(({ kept }) => kept)).toBeGreaterThan(0.3)
  expect(share(({ refused }) => refused)).toBeGreaterThan(0.3)
  expect(share(({ undone }) => undone)).toBeGreaterThan(0.1)
  expect(share(({ kept, refused }) => kept * refused)).toBeGreaterThan(0.1)
}

test.each([1, 2, 3])(
  'of random programs in a transaction, no call is fulfilled and lost, or rejected and kept: %i',
  async (seed) => {
    const reports = await runPrograms(await bench.newOrg(), 100, seed, 4)
    expect(reports).toHaveLength(100)
    expectVariety(reports)
  },
)

test('random transaction programs hold on the embedded database', async () => {
  const embedded = await openEmbeddedTenancy()
  // It has one connection, and who waits for it too long is refused.
  const reports = await runPrograms(await embedded.newOrg(), 40, 4, 1)
  expect(reports).toHaveLength(40)
  expectVariety(reports)
  await embedded.close()
})
