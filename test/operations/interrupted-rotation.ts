/**
 * A process that rotates the keys of an organization, or wraps every data key again, and stops for ever at a batch:
 * `app-url system-url keys org|master moment`.
 */
import { openTenancy } from '../../src/tenancy.js'

const [url = '', systemUrl = '', keys = '', what = '', moment = ''] = process.argv.slice(2)
const tenancy = await openTenancy({ url, systemUrl, keys })
let reached = 0
const options = {
  onProgress: async () => {
    reached += 1
    if (reached <= Number(moment)) return
    process.stdout.write('stopped')
    await new Promise(() => undefined)
  },
}
const system = tenancy.system({ actor: 'child', reason: 'to be killed' }).keys
await (what === 'master' ? system.rewrap(options) : system.rotate(what, options))
await tenancy.close()
