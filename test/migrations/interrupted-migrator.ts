/** A process that migrates and stops for ever where it is told to: `url folder up|down moment`. */
import { openSession } from '../../src/database/session.js'
import { migrateDown, migrateUp } from '../../src/migrations/migrator.js'
import { asSet } from './migrations-folder.js'

const [url = '', folder = '', direction = '', moment = ''] = process.argv.slice(2)
const session = await openSession({ url })
let reached = 0
const onProgress = async () => {
  reached += 1
  if (reached <= Number(moment)) return
  process.stdout.write('stopped')
  await new Promise(() => undefined)
}
await (direction === 'up'
  ? migrateUp(session, [asSet(folder)], { onProgress })
  : migrateDown(session, [asSet(folder)], { onProgress, all: true }))
await session.close()
