import { beforeEach, inject } from 'vitest'

const locks = 'the test itself locks rows of several organizations, or of one table for all of them'
const plans = 'the plan of a cluster is another one: that of the shards is on the workers'
const tables = 'the test makes a table that it does not distribute'

type Unfit = readonly (readonly [title: string, reason: string])[]

/**
 * The tests that cannot run where TEST_DATABASE_URL is the coordinator of a cluster, by file. They are skipped there. `%s` stands for any
 * value.
 */
export const unfit: Readonly<Record<string, Unfit>> = {
  'test/operations/audit-sealing.test.ts': [
    [
      'goes on with the next organization where one has an entry that is too large, and with smaller batches',
      'it makes a trigger',
    ],
    ['takes larger batches again behind an entry that is too large for one', 'it makes a trigger'],
    ['stops where the database refuses a batch for another reason than its size', 'it makes a trigger'],
  ],
  'test/operations/audit-verifying.test.ts': [
    ['entries that were swapped between organizations', 'a row of shards never changes its organization'],
    ['a whole chain that was given to another organization', 'a row of shards never changes its organization'],
  ],
  'test/operations/authenticate.test.ts': [
    ['the builds before this one authenticate by the functions that they know', 'those builds run on no cluster'],
  ],
  'test/operations/claim-fairly.test.ts': [
    ['a task that another transaction holds is neither claimed nor queued again, and nobody waits for it', locks],
    ['no statement of a claim reads the whole table', plans],
  ],
  'test/operations/fire-due-schedules.test.ts': [
    ['a schedule that fails is told, and nothing is thrown where another call has the others', locks],
    ['a schedule that another call holds is passed over at once, and stays due', locks],
  ],
  'test/operations/maintenance.test.ts': [
    ['are found without reading the others', plans],
    ['what is past of %s is found by its time', plans],
  ],
  'test/operations/readmission.test.ts': [['is refused when the person is suspended while they wait', locks]],
  'test/operations/reveal-entries.test.ts': [
    [
      'a reveal is noted in the same round trip, also where the table is not audited, and not for a missing row',
      tables,
    ],
  ],
  'test/repositories/project-metrics.test.ts': [
    ['a query of a month reads one partition, by its index, with either kind of plan', plans],
  ],
  'test/repositories/projects.test.ts': [['a purge that a foreign key refuses deletes nothing', tables]],
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Whether a test has the title, as it stands in the source. */
const isNamed = (name: string, title: string): boolean =>
  new RegExp(`^${title.split('%s').map(escaped).join('.*')}$`).test(name)

beforeEach(({ task, skip }) => {
  if (!inject('onCluster')) return
  const file = Object.keys(unfit).find((name) => task.file.filepath.endsWith(name))
  const found = (unfit[file ?? ''] ?? []).find(([title]) => isNamed(task.name, title))
  if (found !== undefined) skip(`not on a cluster: ${found[1]}`)
})
