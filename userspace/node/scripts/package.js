// SPDX-License-Identifier: MIT
// package.js: makes the package that is published, in the current directory: libagentmem's sources in it, for who builds it,
// and the addon, for who has no compiler, with zstd and nettle in it.
'use strict';

const { spawnSync } = require('node:child_process');
const { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const ROOT = join(__dirname, '..');
const STAGE = join(ROOT, 'build', 'package');
const BINARY = join(STAGE, 'prebuilds', `linux-${process.arch}`, 'libagentmem-node.glibc.node');

function run(command, ...argv) {
  const { status, error } = spawnSync(command, argv, {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, AGENTMEM_STATIC: '1' },
  });
  if (status !== 0) {
    console.error(`libagentmem-node: ${command} ${argv[0]} failed${error ? `: ${error.message}` : ''}`);
    process.exit(1);
  }
}

if (!process.env.npm_execpath) throw new Error('npm run package starts this');
run('node-gyp', 'rebuild'); // npm run has it in its path
rmSync(STAGE, { recursive: true, force: true });
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
for (const path of [...manifest.files, 'README.md', 'LICENSE'])
  if (!path.includes('*') && path !== 'prebuilds') cpSync(join(ROOT, path), join(STAGE, path), { recursive: true, dereference: true });
cpSync(join(ROOT, 'libagentmem', 'src'), join(STAGE, 'libagentmem', 'src'), { recursive: true, dereference: true });
delete manifest.scripts.prepack;
delete manifest.devDependencies;
writeFileSync(join(STAGE, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
mkdirSync(join(BINARY, '..'), { recursive: true });
run('strip', '--strip-unneeded', '-o', BINARY, join('build', 'Release', 'agentmem.node'));
run(process.execPath, process.env.npm_execpath, 'pack', '--ignore-scripts', STAGE);
