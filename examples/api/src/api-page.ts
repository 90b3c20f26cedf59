import { readFile } from 'node:fs/promises'
import { Hono } from 'hono'
import { getAbsoluteFSPath } from 'swagger-ui-dist'

const files = { 'swagger-ui.css': 'text/css', 'swagger-ui-bundle.js': 'text/javascript' } as const

/** A page to read and try the API, with files of its own: it loads nothing from elsewhere. */
export function apiPage(document: string): Hono {
  const page = new Hono()
  page.get('/', (c) => c.html(html(document)))
  for (const [name, type] of Object.entries(files)) {
    page.get(`/page/${name}`, async (c) =>
      c.body(await readFile(`${getAbsoluteFSPath()}/${name}`), 200, { 'content-type': type }),
    )
  }
  return page
}

const html = (document: string) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Platform API</title>
    <link rel="stylesheet" href="/page/swagger-ui.css" />
  </head>
  <body>
    <div id="page"></div>
    <script src="/page/swagger-ui-bundle.js"></script>
    <script>
      SwaggerUIBundle({ url: '${document}', dom_id: '#page' })
    </script>
  </body>
</html>
`
