import type { Readable, Writable } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import { confirm, isCancel, isCI, password, progress, settings } from '@clack/prompts'

/** The output of a command, and its questions. */
export interface Console {
  /** Whether somebody can answer. */
  readonly interactive: boolean
  /** The result of the command. */
  result(text: string): void
  /** Progress. */
  line(text: string): void
  /** A fault, or a note beside the result. */
  fault(text: string): void
  /** A progress bar of `of` steps. */
  bar(title: string, of: number): Bar
  confirm(question: string): Promise<boolean>
  /** Asks on a terminal, and otherwise reads all of stdin. Undefined when it was cancelled. */
  askSecret(question: string): Promise<string | undefined>
}

export interface Bar {
  at(done: number): void
  done(text: string): void
  /** Marks the bar as failed. The error is reported elsewhere. */
  failed(): void
}

/** The streams of this process, or of a test. */
export interface Streams {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable
}

/** With `json` only the result goes to stdout. Bars and questions need a terminal, and are never used in a CI job. */
export function openConsole({ stdin, stdout, stderr }: Streams, json: boolean): Console {
  const interactive = stdin.isTTY === true && stdout.isTTY === true && !json && !isCI()
  const write = (stream: Writable, text: string) => void stream.write(`${text}\n`)
  const line = (text: string) => {
    write(json ? stderr : stdout, text)
  }
  return {
    interactive,
    line,
    result: (text) => {
      if (text !== '') write(stdout, text)
    },
    fault: (text) => {
      write(stderr, text)
    },
    bar: interactive ? terminalBar : () => ({ at: () => undefined, done: line, failed: () => undefined }),
    async confirm(question) {
      const answer = await confirm({ message: question, initialValue: false })
      return answer === true
    },
    async askSecret(question) {
      if (!interactive) return (await readAll(stdin)).replace(/\r?\n$/, '')
      const answer = await password({ message: question })
      return isCancel(answer) ? undefined : answer
    },
  }
}

/** Messages about arguments repeat them, and so also a url with its password. */
export const withoutPasswords = (text: string): string =>
  text.replace(/(\w:\/\/[^\s:/@]*):\S*@/g, '$1:***@').replace(/\b(password=)[^\s&]+/gi, '$1***')

function terminalBar(title: string, of: number): Bar {
  const giveBack = takeKeyboard()
  const bar = progress({ max: Math.max(1, of), size: 24 })
  bar.start(title)
  let shown = 0
  return {
    at(done) {
      bar.advance(done - shown, title)
      shown = done
    },
    done(text) {
      bar.stop(text)
      giveBack()
    },
    failed() {
      bar.error(title)
      giveBack()
    },
  }
}

/** While a bar is shown, clack treats Ctrl-C and Escape as a successful end. This makes Ctrl-C a signal again. */
function takeKeyboard(): () => void {
  const aliases = new Map(settings.aliases)
  settings.aliases.clear()
  const onKey = (_: string, key: { ctrl?: boolean; name?: string }) => {
    if (key.ctrl === true && key.name === 'c') process.kill(process.pid, 'SIGINT')
  }
  process.stdin.on('keypress', onKey)
  return () => {
    process.stdin.off('keypress', onKey)
    for (const [key, action] of aliases) settings.aliases.set(key, action)
  }
}
