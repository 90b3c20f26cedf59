import { open } from './open.js'
import { seed } from './seed.js'
import { tell } from './tell.js'

const tenancy = await open()
tell(await seed(tenancy))
await tenancy.close()
