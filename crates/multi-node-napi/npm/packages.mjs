// Lays out what is published: `node npm/packages.mjs <folder>` writes the package without a binary, and a package for each platform
// whose binary is there, which the first names as optional dependencies, pinned exactly. No install script runs anywhere.
//
// They are named here and not in package.json, so that nobody who builds from the sources asks a registry for them.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SCOPE = '@multi-node';
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
const { version, license, engines } = manifest;

function write(folder, content) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`);
}

const binaries = PLATFORMS.filter(({ name }) => existsSync(join(root, `multi-node.${name}.node`)));
for (const { os, cpu, libc, name } of binaries) {
  const file = `multi-node.${name}.node`;
  const folder = join(out, name);
  write(folder, {
    name: `${SCOPE}/${name}`,
    version,
    description: `The binary of multi-node for ${os} on ${cpu} with ${libc}`,
    license,
    engines,
    main: file,
    files: [file],
    os: [os],
    cpu: [cpu],
    libc: [libc],
  });
  cpSync(join(root, file), join(folder, file));
}

const files = manifest.files.filter((name) => !name.endsWith('.node'));
const optionalDependencies = Object.fromEntries(binaries.map(({ name }) => [`${SCOPE}/${name}`, version]));
write(join(out, 'multi-node'), { ...manifest, files, optionalDependencies });
for (const name of [...files, 'README.md']) cpSync(join(root, name), join(out, 'multi-node', name), { recursive: true });
process.stdout.write(`${['multi-node', ...binaries.map(({ name }) => name)].map((name) => join(out, name)).join('\n')}\n`);
