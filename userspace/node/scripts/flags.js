// SPDX-License-Identifier: MIT
// flags.js compile|link: what the compiler has to be told for binding.gyp.
//
// AGENTMEM_KERNEL_HEADERS=DIR: with the kernel's calls; DIR/include is what `make headers_install` gives. Without, the
// system's headers are looked at, and if they have not got the calls the addon knows the fallback alone.
// AGENTMEM_STATIC=1: zstd and nettle become part of the addon, as in the binary that the package brings.
'use strict';

const { spawnSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const ARCHIVES = { libzstd: 'libzstd.a', nettle: 'libnettle.a' };

function end(cause, next) {
  console.error(`libagentmem-node: ${cause}\n  next: ${next}`);
  process.exit(1);
}

function pkgConfig(...options) {
  const done = spawnSync('pkg-config', [...options, ...Object.keys(ARCHIVES)], { encoding: 'utf8' });
  if (done.status !== 0) {
    const why = (done.error?.message ?? done.stderr).trim().split('\n')[0];
    end(`zstd or nettle was not found: ${why}`, 'apt-get install pkgconf libzstd-dev nettle-dev, or what your system calls them');
  }
  return done.stdout.trim().split(/\s+/).filter(Boolean);
}

function compile() {
  const headers = process.env.AGENTMEM_KERNEL_HEADERS;
  if (!headers) return pkgConfig('--cflags');
  if (!existsSync(join(headers, 'include', 'linux', 'agent_mem.h')))
    end(`AGENTMEM_KERNEL_HEADERS: ${headers}/include has no linux/agent_mem.h`, 'make headers_install in a tree with the series');
  return ['-isystem', join(headers, 'include'), ...pkgConfig('--cflags')];
}

function link() {
  if (!process.env.AGENTMEM_STATIC) return pkgConfig('--libs');
  return [...pkgConfig('--libs-only-L'), ...Object.values(ARCHIVES).map((archive) => `-l:${archive}`)];
}

const made = { compile, link }[process.argv[2]];
if (!made) end('flags.js compile|link', 'see its first lines');
console.log(made().join('\n'));
