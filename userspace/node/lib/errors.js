// SPDX-License-Identifier: MIT
'use strict';

const { getSystemErrorName } = require('node:util');
const { constants } = require('node:os');

// What libagentmem means by it, where the system's own words do not say what is wrong, or what to do.
const WORDS = {
  EINVAL:
    'no such NUMA node, or a value that does not apply here (or AGENTMEM_BACKEND is neither kernel nor fallback)',
  ENOENT: 'nobody here holds such an object, or grants it',
  E2BIG: 'the content is over the limit for one object',
  EBADF: 'not open',
  EBADFD: 'not the descriptor of an object, or not of a process',
  EDQUOT: 'too many objects of this user, or too many grants that nobody has claimed',
  ENOMEM: 'no memory, or the store is full',
  EMFILE: 'too many open files in this process: close objects that are done with',
  ENFILE: 'too many open files in this system',
  EIO: 'the files of the store are damaged',
  ESRCH: 'the process is gone',
  EPERM: 'not allowed towards that process',
  EACCES: 'not allowed towards that process, or no directory for the store can be trusted: see XDG_RUNTIME_DIR',
  ENOSYS:
    'AGENTMEM_BACKEND=kernel, but this kernel, or this build of libagentmem-node, has not got the calls; without it the fallback is used',
  EOPNOTSUPP: 'not with this backend, or switched off by the administrator',
};
const NUMBERS = { ...constants.errno, EBADFD: 77 }; // Linux's own, that Node has no name for
const NAMES = new Map(Object.keys(WORDS).map((name) => [NUMBERS[name], name]));

function failure(errno, call) {
  const code = NAMES.get(errno) ?? getSystemErrorName(-errno);
  const words = WORDS[code] ?? 'the system refused it';
  return Object.assign(new Error(`${code}: ${words}, ${call}`), { code, errno: -errno, syscall: call });
}

/** What a native function answered, unless that is the number of an error. */
function check(answer, call) {
  if (typeof answer !== 'number' || answer >= 0) return answer;
  const error = failure(-answer, call);
  Error.captureStackTrace(error, check);
  throw error;
}

const closed = (call) => failure(NUMBERS.EBADF, call);

function invalid(Kind, code, message) {
  return Object.assign(new Kind(message), { code });
}
const invalidType = (message) => invalid(TypeError, 'ERR_INVALID_ARG_TYPE', message);
const invalidValue = (message) => invalid(RangeError, 'ERR_INVALID_ARG_VALUE', message);

module.exports = { check, closed, invalidType, invalidValue };
