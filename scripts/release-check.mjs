#!/usr/bin/env node
// Whether the crates and the npm package could be published as they are: what each says of its origin, which files are in it, the same version
// everywhere, and that every crate builds from its package alone. Nothing is published. `--quick` leaves the builds out.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const npmPackage = join(root, 'crates/multi-node-napi');
const cargo = process.env.CARGO ?? 'cargo';
const quick = process.argv.includes('--quick');

/** A crate or an npm package with more than this has something in it that does not belong there. */
const LARGEST_FILE = 1 << 20;

const mistakes = [];
const check = (holds, mistake) => holds || mistakes.push(mistake);
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'], ...options });
const json = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** The crates of the workspace that are published. */
function crates() {
  const { packages } = JSON.parse(run(cargo, ['metadata', '--no-deps', '--format-version', '1', '--locked']));
  return packages.filter(({ publish }) => publish === null);
}

function checkCrate(crate, version, names) {
  const { name, manifest_path: manifest } = crate;
  const folder = dirname(manifest);
  for (const field of ['description', 'license', 'repository', 'homepage', 'readme', 'rust_version']) check(crate[field], `${name}: no ${field}`);
  check(existsSync(join(folder, crate.readme ?? '')), `${name}: ${crate.readme} does not exist`);
  if (crate.readme) checkLinks(name, join(folder, crate.readme));
  check(crate.keywords.length > 0 && crate.keywords.length <= 5, `${name}: 1 to 5 keywords are allowed`);
  check(crate.keywords.every((word) => /^[a-z0-9][\w+-]{0,19}$/i.test(word)), `${name}: a keyword is not allowed: ${crate.keywords}`);
  check(crate.categories.length > 0 && crate.categories.length <= 5, `${name}: 1 to 5 categories are allowed`);
  check(crate.metadata?.docs?.rs, `${name}: no [package.metadata.docs.rs]`);
  check(crate.version === version, `${name}: version ${crate.version} is not ${version}`);
  for (const { name: other, req, kind } of crate.dependencies.filter((dependency) => names.has(dependency.name))) {
    check(kind === 'dev' || req === `^${version}`, `${name}: depends on ${other} ${req}, not on ^${version}`);
  }
  const files = run(cargo, ['package', '--list', '--allow-dirty', '--locked', '-p', name]).trim().split('\n');
  for (const file of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'Cargo.toml']) check(files.includes(file), `${name}: ${file} is not in its package`);
  for (const file of files.filter((file) => existsSync(join(folder, file)))) {
    const { size } = statSync(join(folder, file));
    check(size <= LARGEST_FILE, `${name}: ${file} has ${size} bytes`);
  }
  return files.length;
}

/** A README is read on the pages of a registry, where links into this repository lead nowhere. */
function checkLinks(name, readme) {
  const links = [...readFileSync(readme, 'utf8').matchAll(/\]\(([^)]*)\)/g)].map(([, link]) => link);
  for (const link of links.filter((link) => !/^(https:|#)/.test(link))) check(false, `${name}: its README has a link that is not absolute: ${link}`);
}

/** The npm packages as they would be published, in a folder of their own. */
function checkNpm(version, repository) {
  const { name, bin, ...manifest } = json(join(npmPackage, 'package.json'));
  for (const field of ['description', 'license', 'repository', 'homepage', 'bugs', 'keywords', 'engines']) check(manifest[field], `${name}: no ${field}`);
  check(manifest.version === version, `${name}: version ${manifest.version} is not ${version}`);
  check(json(join(npmPackage, 'package-lock.json')).version === version, `${name}: package-lock.json has another version than ${version}`);
  check(manifest.repository.url === `git+${repository}.git`, `${name}: repository ${manifest.repository.url} is not that of the crates, ${repository}`);
  check(name.startsWith('@multi-node/') && bin['multi-node'], `${name}: has to be of the scope @multi-node, and to bring the command multi-node`);
  const out = mkdtempSync(join(tmpdir(), 'multi-node-release-'));
  try {
    run(process.execPath, [join(npmPackage, 'npm/packages.mjs'), out]);
    for (const folder of readdirSync(out)) checkTarball(join(out, folder), version);
    check(readdirSync(out).length > 1, `${name}: no binary is built; first run \`npm run build\` in crates/multi-node-napi`);
  } finally {
    rmSync(out, { recursive: true });
  }
}

function checkTarball(folder, version) {
  const [{ name, version: own, files, size }] = JSON.parse(run('npm', ['pack', '--dry-run', '--json', '--loglevel=error'], { cwd: folder }));
  const names = files.map(({ path }) => path);
  const binaries = basename(folder) === 'server' ? ['js/index.js', 'index.d.ts', 'session.d.ts', 'bin/multi-node.js'] : ['multi-node'];
  for (const file of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', ...binaries]) check(names.includes(file), `${name}: ${file} is not in its package`);
  checkLinks(name, join(folder, 'README.md'));
  check(!names.some((file) => /^(src|test|bench|node_modules)\//.test(file)), `${name}: has sources or tests in it`);
  check(own === version, `${name}: version ${own} is not ${version}`);
  console.log(`${name} ${own}: ${names.length} files, ${(size / 1e6).toFixed(1)} MB`);
}

/**
 * Cargo keeps what it unpacks and builds of a registry's package by its name and version, and ours change while these stay the same. So the
 * registry of each run, which is in its target folder, has another path: a link to that folder. What is not ours is built once.
 */
function publishDryRun(args) {
  const target = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release-check');
  for (const folder of ['deps', '.fingerprint', 'incremental', 'build'].map((name) => join(target, 'debug', name)).filter(existsSync)) {
    for (const name of readdirSync(folder)) if (/^(lib)?multi[-_]node/.test(name)) rmSync(join(folder, name), { recursive: true });
  }
  mkdirSync(target, { recursive: true });
  const link = join(target, `run-${Date.now()}`);
  symlinkSync('.', link);
  try {
    run(cargo, ['publish', '--workspace', '--dry-run', '--allow-dirty', '--locked', '--target-dir', link, ...args], { stdio: 'inherit' });
  } finally {
    rmSync(link);
  }
}

const published = crates();
const { version, repository } = published.find(({ name }) => name === 'multi-node');
const names = new Set(published.map(({ name }) => name));
for (const crate of published) console.log(`${crate.name} ${crate.version}: ${checkCrate(crate, version, names)} files`);
check(readFileSync(join(root, 'CHANGELOG.md'), 'utf8').includes('## [Unreleased]') || readFileSync(join(root, 'CHANGELOG.md'), 'utf8').includes(`## [${version}]`), `CHANGELOG.md has nothing of ${version}`);
checkNpm(version, repository);

if (mistakes.length > 0) {
  console.error(`\nnot ready to be published:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`);
  process.exit(1);
}
// In the order in which they need each other, each from the package that would be uploaded.
publishDryRun(quick ? ['--no-verify'] : []);
console.log('\nready to be published');
