import type { AddCommand } from '../command.js'
import { addAnalyse } from './adopt-analyse.js'
import { addDefinitions } from './adopt-definitions.js'
import { addPlan } from './adopt-plan.js'
import { addPlatform } from './adopt-platform.js'
import { addBackfill, addDown, addStatus } from './adopt-progress.js'
import { addContract, addEnforce, addExpand, addObserve, addProve, addSwap } from './adopt-steps.js'
import { addVerify } from './adopt-verify.js'

const subcommands = [
  addAnalyse,
  addPlan,
  addVerify,
  addExpand,
  addBackfill,
  addProve,
  addSwap,
  addObserve,
  addEnforce,
  addContract,
  addDefinitions,
  addStatus,
  addDown,
  addPlatform,
]

export const addAdopt: AddCommand = (program, run) =>
  program.command('adopt', 'Brings existing tables under organizations', (group) =>
    subcommands
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command, such as analyse; tenantry adopt --help lists them in their order'),
  )
