import { expect, test } from 'vitest'
import { textFaults } from '../../scripts/text-rules.js'
import { plantTree } from './planted-tree.js'

const unfinished = ['TO', 'DO'].join('')

test('each rule on names, folders and unfinished work names the file that breaks it', () => {
  const tree = plantTree({
    'src/core/keyRing.ts': '',
    'src/Core/ring.ts': '',
    'src/core/utils.ts': '',
    'src/lib/ring.ts': '',
    'test/helpers/agents.ts': '',
    'src/types/agents.ts': '',
    'scripts/common/build.js': '',
    'src/schema/shared/deep/columns.ts': '',
    'src/core/agents.ts': 'export class AgentManager {}\ninterface IAgent {}\nclass Insert {}\n',
    'docs/plan.md': `Plans\n${unfinished}: write them\n`,
  })
  expect(textFaults(tree).sort()).toEqual(
    [
      'docs/plan.md:2: unfinished work names its issue, as in TODO(#12)',
      'scripts/common: says nothing about what is in it',
      'src/core/agents.ts:1: the name says nothing about what it is',
      'src/core/agents.ts:2: the name says nothing about what it is',
      'src/Core: names are kebab-case',
      'src/core/keyRing.ts: names are kebab-case',
      'src/core/utils.ts: says nothing about what is in it',
      'src/lib: says nothing about what is in it',
      'src/schema/shared/deep/columns.ts: no folder is deeper than src/schema/shared',
      'src/types: says nothing about what is in it',
      'test/helpers: says nothing about what is in it',
    ].sort(),
  )
})

test('what the rules leave free', () => {
  const tree = plantTree({
    'src/schema/shared/columns.ts': `// ${unfinished}(#12): the rest\n`,
    'test/types/agents.test-d.ts': '',
    'test/fixtures/0001_people.sql': '',
    'examples/your-own-tables/README.md': '',
    'examples/your-own-tables/drizzle/0000_tickets.sql': '',
  })
  expect(textFaults(tree)).toEqual([])
})
