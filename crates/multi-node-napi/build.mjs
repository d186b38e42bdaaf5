// Builds the binding and the command with cargo, and puts them where the package looks for it. `--release` is what is published;
// `--workspace` builds all that tests start, in one build with the features of the Rust tests.
import { execFileSync } from 'node:child_process';
import { copyFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const profile = process.argv.includes('--release') ? 'release' : 'dev';
const cargo = process.env.CARGO ?? 'cargo';
const what = process.argv.includes('--workspace') ? ['--workspace', '--lib', '--bins', '--examples'] : ['-p', 'multi-node-napi', '-p', 'multi-node-cli'];
execFileSync(cargo, ['build', '--locked', '--profile', profile, ...what], { cwd: here, stdio: 'inherit' });

const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl';
const target = process.env.CARGO_TARGET_DIR ?? join(here, '../../target');
const built = join(target, profile === 'dev' ? 'debug' : profile);
const place = join(here, `multi-node.${process.platform}-${process.arch}-${libc}`);

/** A process that has the old file mapped keeps it. */
function put(file, place) {
  copyFileSync(file, `${place}.new`);
  renameSync(`${place}.new`, place);
}

/** Without symbols, where they can be taken out: those of a debug build are ten times as large as the command. */
function putCommand(file, place) {
  try {
    execFileSync('strip', ['-o', `${place}.new`, file], { stdio: 'ignore' });
    renameSync(`${place}.new`, place);
  } catch {
    rmSync(`${place}.new`, { force: true });
    put(file, place);
  }
}

put(join(built, 'libmulti_node_napi.so'), `${place}.node`);
putCommand(join(built, 'multi-node'), place);
