import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** One check. `run` returns the faults, or an empty text when there are none. */
export interface Step {
  readonly name: string
  run(): string | Promise<string>
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** A step that runs a package's program with this Node, so that it needs no shell. */
export function program(name: string, script: string, ...args: string[]): Step {
  return {
    name,
    run: () =>
      new Promise((settle) => {
        const argv = [`${root}/node_modules/${script}`, ...args]
        execFile(process.execPath, argv, { cwd: root, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
          settle(error ? `${stdout}${stderr}`.trim() || error.message : '')
        })
      }),
  }
}

/**
 * Runs every step, `atOnce` at a time and in their order, and prints the result of each, then all faults. True when there are none.
 */
export async function runSteps(
  steps: readonly Step[],
  atOnce: number,
  print: (line: string) => void,
): Promise<boolean> {
  const width = Math.max(...steps.map((step) => step.name.length))
  const faults: string[] = []
  const waiting = [...steps]

  const work = async (): Promise<void> => {
    for (let step = waiting.shift(); step; step = waiting.shift()) {
      const start = performance.now()
      const wrong = await attempt(step)
      const seconds = ((performance.now() - start) / 1000).toFixed(1)
      print(`${wrong ? 'FAILED' : 'ok    '}  ${step.name.padEnd(width)}  ${seconds} s`)
      if (wrong) faults.push(`--- ${step.name}\n${wrong}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))

  for (const fault of faults) print(`\n${fault}`)
  return faults.length === 0
}

async function attempt(step: Step): Promise<string> {
  try {
    return await step.run()
  } catch (error) {
    return String(error)
  }
}
