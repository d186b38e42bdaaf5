// Lays out what is published: `node npm/packages.mjs <folder>` writes the package without a binary, and a package for each platform
// whose binaries are there, which the first names as optional dependencies, pinned exactly. No install script runs anywhere.
//
// They are named here and not in package.json, so that nobody who builds from the sources asks a registry for them.
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SCOPE = '@multi-node';
const LICENSES = ['LICENSE-APACHE', 'LICENSE-MIT'];
const PLATFORMS = [
  { os: 'linux', cpu: 'x64', libc: 'glibc', name: 'linux-x64-gnu' },
  { os: 'linux', cpu: 'arm64', libc: 'glibc', name: 'linux-arm64-gnu' },
  { os: 'linux', cpu: 'x64', libc: 'musl', name: 'linux-x64-musl' },
  { os: 'linux', cpu: 'arm64', libc: 'musl', name: 'linux-arm64-musl' },
];

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [out] = process.argv.slice(2);
if (!out) throw new Error('usage: node npm/packages.mjs <folder>');

const { devDependencies, scripts, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { version, license, engines, repository, homepage, publishConfig } = manifest;

function write(folder, content) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`);
}

/** The text with links that lead somewhere from wherever it is read. */
function absolute(text) {
  const here = `${repository.url.replace(/^git\+|\.git$/g, '')}/blob/HEAD/${repository.directory}/`;
  return text.replace(/\]\((?!#|https?:)([^) ]+)\)/g, (_, link) => `](${new URL(link, here)})`);
}

const binaries = PLATFORMS.filter(({ name }) => existsSync(join(root, `multi-node.${name}.node`)) && existsSync(join(root, `multi-node.${name}`)));
for (const { os, cpu, libc, name } of binaries) {
  const file = `multi-node.${name}.node`;
  const command = join(root, `multi-node.${name}`);
  const folder = join(out, name);
  write(folder, {
    name: `${SCOPE}/${name}`,
    version,
    description: `The binaries of multi-node for ${os} on ${cpu} with ${libc}`,
    repository,
    homepage,
    license,
    engines,
    publishConfig,
    main: file,
    files: [file, 'multi-node', ...LICENSES],
    os: [os],
    cpu: [cpu],
    libc: [libc],
  });
  cpSync(join(root, file), join(folder, file));
  cpSync(command, join(folder, 'multi-node'));
  chmodSync(join(folder, 'multi-node'), 0o755);
  writeFileSync(join(folder, 'README.md'), `The binaries of [${manifest.name}](${homepage}) for ${os} on ${cpu} with ${libc}. Install that package.\n`);
  for (const file of LICENSES) cpSync(join(root, '../..', file), join(folder, file));
}

const files = manifest.files.filter((name) => !name.startsWith('multi-node.') && !name.startsWith('LICENSE'));
const optionalDependencies = Object.fromEntries(binaries.map(({ name }) => [`${SCOPE}/${name}`, version]));
write(join(out, 'server'), { ...manifest, files: [...files, ...LICENSES], optionalDependencies });
for (const name of files) cpSync(join(root, name), join(out, 'server', name), { recursive: true });
writeFileSync(join(out, 'server', 'README.md'), absolute(readFileSync(join(root, 'README.md'), 'utf8')));
for (const name of LICENSES) cpSync(join(root, '../..', name), join(out, 'server', name));
process.stdout.write(`${['server', ...binaries.map(({ name }) => name)].map((name) => join(out, name)).join('\n')}\n`);
