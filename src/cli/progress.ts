import type { MigrateOptions, MigrationProgress } from '../migrations/progress.js'
import type { Bar, Console } from './console.js'

/** Runs `work` and shows the progress of its migrations: a bar for each file on a terminal, a line for each otherwise. */
export async function withProgress<T>(
  console: Console,
  work: (options: Required<Pick<MigrateOptions, 'onProgress'>>) => Promise<T>,
): Promise<T> {
  let current: { readonly name: string; readonly bar: Bar } | undefined
  const onProgress = (progress: MigrationProgress) => {
    if (progress.kind === 'waiting') {
      console.line(`waiting for another migrator: ${progress.holder}`)
      return
    }
    const name = `${progress.set} ${progress.tag}`
    if (current?.name !== name)
      current = { name, bar: console.bar(name, progress.kind === 'running' ? progress.of : 1) }
    const { bar } = current
    switch (progress.kind) {
      case 'running':
        bar.at(progress.done)
        break
      case 'retrying':
        bar.failed()
        console.line(`${name}: a lock was not free, attempt ${progress.attempt} of ${progress.of}`)
        current = undefined
        break
      case 'finished':
        bar.done(`${name} ${progress.direction === 'up' ? 'applied' : 'undone'}`)
        current = undefined
        break
    }
  }
  try {
    return await work({ onProgress })
  } finally {
    current?.bar.failed()
  }
}

/** Runs `work` and shows its progress: a bar on a terminal. The output of a cron job is the result alone. */
export async function withBar<T>(
  console: Console,
  title: string,
  work: (onProgress: ((progress: { readonly done: number; readonly total: number }) => void) | undefined) => Promise<T>,
  ended: (result: T) => string = () => title,
): Promise<T> {
  if (!console.interactive) return work(undefined)
  let bar: Bar | undefined
  try {
    const result = await work(({ done, total }) => {
      bar ??= console.bar(title, total)
      bar.at(done)
    })
    bar?.done(ended(result))
    return result
  } catch (error) {
    bar?.failed()
    throw error
  }
}
