import { execFileSync } from 'node:child_process'

/** Client and server share one processor, so that a call costs the work of both and no time for waking them. */
export function pinToOneProcessor(): void {
  try {
    execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', '0', String(process.pid)], { stdio: 'ignore' })
  } catch {
    console.log(
      'taskset is not here: client and server are not pinned to one processor, and the ratios are less steady',
    )
  }
}
