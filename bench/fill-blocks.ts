// Blocks of a Markdown page that a script writes: between `<!-- bench:NAME -->` and `<!-- /bench -->`.

/** @throws RangeError where the page asks for a block that there isn't */
export function fillBlocks(page: string, blocks: Readonly<Record<string, string>>): string {
  return page.replaceAll(/<!-- bench:([a-z-]+) -->\n[\s\S]*?<!-- \/bench -->/g, (_whole, name: string) => {
    const block = blocks[name];
    if (block === undefined) throw new RangeError(`there is no block ${name}`);
    return `<!-- bench:${name} -->\n${block}\n<!-- /bench -->`;
  });
}
