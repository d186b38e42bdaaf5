// Builds the binding with cargo, and puts it where the package looks for it. `--release` is what is published.
import { execFileSync } from 'node:child_process';
import { copyFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const profile = process.argv.includes('--release') ? 'release' : 'dev';
const cargo = process.env.CARGO ?? 'cargo';
execFileSync(cargo, ['build', '--locked', '--profile', profile, '-p', 'multi-node-napi'], { cwd: here, stdio: 'inherit' });

const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl';
const target = process.env.CARGO_TARGET_DIR ?? join(here, '../../target');
const built = join(target, profile === 'dev' ? 'debug' : profile, 'libmulti_node_napi.so');
const place = join(here, `multi-node.${process.platform}-${process.arch}-${libc}.node`);
// A process that has the old file mapped keeps it.
copyFileSync(built, `${place}.new`);
renameSync(`${place}.new`, place);
