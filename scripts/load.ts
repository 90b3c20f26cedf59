import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

export const root = join(import.meta.dirname, '..')

/** The default of `--lock-timeout`, and 100 ms for the work of a statement. */
const longestWait = 500 + 100

/** Clients that write without end, and how long each write took, by the step that was running. */
export class Writers {
  step = 'before'
  private readonly waits = new Map<string, number[]>()
  private readonly refused = new Map<string, number>()
  private readonly running: Promise<void>[] = []
  private isOver = false

  /** `write` makes one change; its number counts up over all writers. */
  constructor(
    private readonly url: string,
    private readonly count: number,
    private readonly write: (client: pg.Client, number: number, turn: number) => Promise<unknown>,
  ) {}

  start(): void {
    for (let writer = 0; writer < this.count; writer++) this.running.push(this.run(writer))
  }

  async stop(): Promise<void> {
    this.isOver = true
    await Promise.all(this.running)
  }

  private async run(writer: number): Promise<void> {
    const client = new pg.Client({ connectionString: this.url })
    await client.connect()
    for (let turn = 0; !this.isOver; turn++) {
      const begun = performance.now()
      const during = this.step
      try {
        await this.write(client, writer + this.count * turn, turn)
      } catch (error) {
        const message = `${during}: ${(error as Error).message}`
        this.refused.set(message, (this.refused.get(message) ?? 0) + 1)
      }
      const waited = this.waits.get(during) ?? []
      waited.push(performance.now() - begun)
      this.waits.set(during, waited)
      await pause(2)
    }
    await client.end()
  }

  /** Prints how long they waited in each step. Returns what should not have happened to them. */
  faults(isExpected: (message: string) => boolean): string[] {
    const faults: string[] = []
    for (const [name, all] of this.waits) {
      const sorted = all.toSorted((a, b) => a - b)
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.trunc(sorted.length * share))] ?? 0
      console.log(
        `${name}: ${sorted.length} writes, median ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms, longest ${at(1).toFixed(1)} ms`,
      )
      if (at(0.99) > longestWait) faults.push(`${name}: p99 is above ${longestWait} ms`)
    }
    for (const [message, count] of this.refused) {
      console.log(`refused ${count} times: ${message}`)
      if (!isExpected(message)) faults.push(`a writer was refused: ${message}`)
    }
    return faults
  }
}

/** The built program, with commands that are killed before they end well. */
export class KilledProgram {
  kills = 0

  constructor(
    private readonly writers: Writers,
    private readonly options: {
      readonly folder: string
      readonly env: Readonly<Record<string, string>>
      /** How often each command is killed. */
      readonly killsEach: number
      readonly random: () => number
    },
  ) {}

  /** Kills the command some times at random moments, and runs it to its end. */
  async take(...args: readonly string[]): Promise<void> {
    const { killsEach, random } = this.options
    this.writers.step = args.join(' ')
    // The program takes half a second to start, and most statements come soon after.
    for (let kill = 0; kill < killsEach; kill++)
      if ((await this.start(args, 450 + random() ** 2 * 1500)) === null) this.kills += 1
    const begun = performance.now()
    await this.run(...args)
    console.log(`${args.join(' ')}: the last run took ${Math.round(performance.now() - begun)} ms`)
  }

  /** Runs a command that is not killed. */
  async run(...args: readonly string[]): Promise<void> {
    this.writers.step = args.join(' ')
    const code = await this.start(args)
    if (code !== 0) throw new Error(`tenantry ${args.join(' ')} ended with ${code}`)
  }

  /** Returns the exit code: null where it was killed. */
  private start(args: readonly string[], killAfter?: number): Promise<number | null> {
    const { folder, env } = this.options
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...args], {
        cwd: folder,
        env: { PATH: process.env.PATH, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()))
      const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter)
      child.once('close', (code) => {
        clearTimeout(timer)
        if (code !== 0 && code !== null) console.log(`tenantry ${args.join(' ')}: ${said.trim()}`)
        resolve(code)
      })
    })
  }
}

/** Says how it ended. Returns whether it failed. */
export function verdictOf(faults: readonly string[], kills: number, after: string): boolean {
  console.log(`killed ${kills} times`)
  console.log(faults.length === 0 ? `every row is as it was: ${after}` : `FAULTS\n${faults.join('\n')}`)
  return faults.length > 0
}
