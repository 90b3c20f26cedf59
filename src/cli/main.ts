#!/usr/bin/env node
import { openConsole } from './console.js'
import { runProgram } from './program.js'
import { exit } from './report.js'
import { Sessions } from './sessions.js'

const sessions = new Sessions()

const interruption = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interruption.signal.aborted) return
    interruption.abort()
    process.stderr.write('interrupted\n')
    // A server that does not answer must not delay the exit.
    setTimeout(() => process.exit(exit.interrupted), 3000)
    void sessions.interrupt().then(() => process.exit(exit.interrupted))
  })
}

// The reader of a pipe may close it early, as `head` does. The command then runs on to its end.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

const code = await runProgram(process.argv.slice(2), {
  cwd: process.cwd(),
  env: process.env,
  console: (json) => openConsole(process, json),
  open: (place) => sessions.open(place),
  close: (session) => sessions.close(session),
  stoppable: (work) => sessions.stoppable(work),
})
if (!interruption.signal.aborted) process.exitCode = code
