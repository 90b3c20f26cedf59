import type { AddCommand } from '../command.js'
import { addAnalyse } from './adopt-analyse.js'
import { addBackfill, addDown, addExpand, addPlan, addProve, addStatus, addSwap } from './adopt-steps.js'
import { addVerify } from './adopt-verify.js'

const subcommands = [addAnalyse, addPlan, addVerify, addExpand, addBackfill, addProve, addSwap, addStatus, addDown]

export const addAdopt: AddCommand = (program, run) =>
  program.command('adopt', 'Brings existing tables under organizations', (group) =>
    subcommands
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command: analyse, plan, verify, expand, backfill, prove, swap, status or down'),
  )
