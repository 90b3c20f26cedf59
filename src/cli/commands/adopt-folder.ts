import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import type { WrittenPlan } from '../../adoption/plan-folder.js'
import { connecting, type Context, type GlobalOptions } from '../command.js'
import { embeddedDirectory } from '../system-login.js'

const folderOption = {
  type: 'string',
  requiresArg: true,
  normalize: true,
  default: 'adopt',
  describe: 'The folder of the steps',
} as const

export const lockTimeoutOption = {
  type: 'number',
  requiresArg: true,
  default: 500,
  describe: 'Milliseconds to wait for a lock, during which writers wait behind it',
} as const

/** The options of the commands that work with a plan. */
export const withFolder = <Args extends GlobalOptions>(command: Argv<Args>) =>
  connecting(command).option('folder', folderOption)

export async function readPlanOf({ cwd }: Context, folder: string): Promise<WrittenPlan> {
  const { readPlan } = await import('../../adoption/plan-folder.js')
  return readPlan(resolve(cwd, folder))
}

export function assertDirectory({ cwd }: Context, { embedded }: { readonly embedded?: string | undefined }): void {
  if (embedded !== undefined) embeddedDirectory(cwd, embedded)
}
