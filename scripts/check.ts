// `npm run check`: every check before a commit. `npm run check -- types layers` runs some of them.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { program, runSteps, type Step } from './run-steps.js'
import { textFaults } from './text-rules.js'

const root = fileURLToPath(new URL('..', import.meta.url))

// The longest steps come first, so that they share the processors. Types are checked by TypeScript 7, which takes a sixth of the time;
// the code in the documents by TypeScript 6, so that both are known to compile it.
const steps: Step[] = [
  program('lint', 'oxlint/bin/oxlint', '--format', 'unix'),
  program('types', 'typescript-7/bin/tsc', '-p', '.'),
  program('documents', 'tsx/dist/cli.mjs', 'scripts/documents.ts'),
  program('layers', 'dependency-cruiser/bin/dependency-cruise.mjs', 'src', 'scripts', '--output-type', 'err-long'),
  program('format', 'oxfmt/bin/oxfmt', '--check', '.'),
  program('unused', 'knip/bin/knip.js'),
  { name: 'names', run: () => textFaults(root).join('\n') },
  { name: 'migrations', run: definitionsWithoutMigration },
]

/** Imported when it runs, so that definitions that do not compile do not prevent the report of the other steps. */
async function definitionsWithoutMigration(): Promise<string> {
  const schema = await import('../src/schema/index.js')
  const { ungeneratedChanges } = await import('../src/migrations/generation/definitions.js')
  return (await ungeneratedChanges(schema, `${root}/drizzle`)).join('\n')
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !steps.some((step) => step.name === name))
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}. The steps: ${steps.map((step) => step.name).join(', ')}`)
  process.exit(2)
}

const chosen = wanted.length > 0 ? steps.filter((step) => wanted.includes(step.name)) : steps
const passed = await runSteps(chosen, Math.min(4, availableParallelism()), console.log)
process.exit(passed ? 0 : 1)
