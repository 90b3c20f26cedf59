/** The commands in a document's shell blocks, without comments and without the environment they are given. */
export function commandsIn(document: string): string[] {
  const blocks = [...document.matchAll(/^```(?:sh|shell|bash|console)\n(.*?)^```/gms)].map(([, block]) => block ?? '')
  return blocks
    .flatMap((block) => block.split('\n'))
    .map((line) =>
      line
        .replace(/(^|\s)#.*$/, '')
        .replace(/^\$ /, '')
        .replace(/^export [A-Z_]+=[^&]+$/, '')
        .replace(/^(?:[A-Z_]+=\S+ +)+/, '')
        .trim(),
    )
    .flatMap((line) => line.split(' && '))
    .filter((line) => line !== '')
}
