import type { AddCommand } from '../command.js'
import { addDown } from './migrate-down.js'
import { addNew } from './migrate-new.js'
import { addStatus } from './migrate-status.js'
import { addUp } from './migrate-up.js'
import { addVerify } from './migrate-verify.js'

export const addMigrate: AddCommand = (program, run) =>
  program.command('migrate', 'Applies and undoes migrations, and generates new ones', (group) =>
    [addUp, addDown, addStatus, addVerify, addNew]
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command: up, down, status, verify or new'),
  )
