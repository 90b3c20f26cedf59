import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const names = ['chromium', 'chromium-browser', 'google-chrome']

/** The program that the variable CHROMIUM names, or one in PATH. Debian has it in its package `chromium`. */
export function findChromium({ CHROMIUM, PATH = '' }: NodeJS.ProcessEnv): string | undefined {
  if (CHROMIUM !== undefined) return CHROMIUM
  const folders = PATH.split(delimiter)
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((program) => existsSync(program))
}

/** Loads a page in a browser of its own without a window, does with it what the option says, and returns what that prints. */
export async function inChromium(program: string, option: '--dump-dom' | `--screenshot=${string}`, url: string) {
  const profile = await mkdtemp(join(tmpdir(), 'tenantry-chromium-'))
  // A sandbox inside of a container is refused, and so is one of root. The budget lets the scripts of the page end.
  const options = [
    ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars'],
    ...[`--user-data-dir=${profile}`, '--window-size=1200,900', '--virtual-time-budget=10000', option],
  ]
  try {
    const { stdout } = await promisify(execFile)(program, [...options, url], { maxBuffer: 64 << 20, timeout: 120_000 })
    return stdout
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}
