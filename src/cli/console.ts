import type { Readable, Writable } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import { confirm, isCancel, isCI, password, progress, settings } from '@clack/prompts'

/** How a command speaks. */
export interface Console {
  /** Somebody is there to answer. */
  readonly interactive: boolean
  /** What the command was asked for. */
  result(text: string): void
  /** What goes on meanwhile. */
  line(text: string): void
  /** What is wrong, or to be known beside the result. */
  fault(text: string): void
  /** Something that takes a while, in `of` steps. */
  bar(title: string, of: number): Bar
  confirm(question: string): Promise<boolean>
  /** From whom sits there, else all of stdin. Undefined when it was cancelled. */
  askSecret(question: string): Promise<string | undefined>
}

export interface Bar {
  at(done: number): void
  done(text: string): void
  /** The fault itself is told elsewhere. */
  failed(): void
}

/** The process' own streams, or a test's. */
export interface Streams {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable
}

/** With `json` the result has stdout for itself. Bars and questions are for a terminal, and never for a job of a CI server. */
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

/** A url that was given as an argument comes back in messages about arguments. */
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

/** While it shows a bar, clack takes Ctrl-C and Escape for the end, with success. Here Ctrl-C is the signal it would be without. */
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
