/* SPDX-License-Identifier: MIT */
/**
 * agentmem.h - texts of many agents, held once
 *
 * A program hands a text over and gets a file descriptor of a sealed object, a semantic memory unit (SMU), that is known by
 * the SHA-256 of its bytes. Whoever of the same user brings the same bytes gets the same object and the same memory.
 *
 *	int fd = agentmem_put(AGENTMEM_SYSTEM_PROMPT, text, strlen(text), NULL, NULL);
 *	struct agentmem_view view;
 *
 *	if (fd < 0 || agentmem_map(fd, &view) < 0)
 *		err(1, "agentmem");
 *	fwrite(view.data, 1, view.size, stdout);	// no copy: this is the object
 *	agentmem_unmap(&view);
 *	agentmem_close(fd);
 *
 * Backends: the kernel's system calls ("kernel"), or a store of the user's own on tmpfs ("fallback") if the library was built
 * without headers of a kernel that has the calls, or the running kernel lacks them or a sandbox forbids them. The first call
 * of a process chooses; agentmem_backend() reports it. The environment variable AGENTMEM_BACKEND (kernel or fallback)
 * overrides it. What differs is in one table: libagentmem(3).
 *
 * Results: what returns a descriptor or a count returns -1 on error, everything else 0 or -1, and errno says why. Nothing is
 * changed by a call that failed. Nothing is printed, no signal is raised and no call ends the process.
 *
 * Threads: every function may be called by any number of threads at once, and after fork() in parent and child. None is
 * safe in a signal handler. There is no global state but the backend found.
 *
 * Structures that may grow start with `size`, which the caller sets to sizeof: programs built against an older header go on
 * to work. Bytes are counted in bytes, times in the unit that the name ends in.
 *
 * Errors that every function may give: ENOSYS (AGENTMEM_BACKEND=kernel, and this kernel or this build of the library has not
 * got the calls), EINVAL (AGENTMEM_BACKEND says something else), EACCES (fallback: no directory for the store can be trusted),
 * ENOMEM, EMFILE, ENFILE.
 */
#ifndef AGENTMEM_H
#define AGENTMEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** What a text is. An object keeps the type that it got when it was new. */
enum agentmem_type {
	AGENTMEM_CONVERSATION,	/**< messages of one session */
	AGENTMEM_SYSTEM_PROMPT,	/**< instructions that many agents have alike */
	AGENTMEM_TOOL_DEF,	/**< the description of a tool */
	AGENTMEM_TOOL_RESULT	/**< what one call of a tool gave */
};

/** How soon it will be used again; see agentmem_mark(). */
enum agentmem_temperature {
	AGENTMEM_HOT = 1,	/**< resident, not compressed */
	AGENTMEM_WARM,		/**< compressed; the plain copy may be dropped */
	AGENTMEM_COLD		/**< compressed, and out of main memory if possible */
};

/** What an agent is doing. */
enum agentmem_state { AGENTMEM_ACTIVE = 1, AGENTMEM_PAUSED, AGENTMEM_IDLE };

/** Whose figures agentmem_stats() gives. */
enum agentmem_scope {
	AGENTMEM_SCOPE_AGENT = 1,	/**< one agent */
	AGENTMEM_SCOPE_DOMAIN,		/**< all agents of the caller's domain: its effective user (in its user namespace) */
	AGENTMEM_SCOPE_SYSTEM		/**< all of the machine; for CAP_SYS_ADMIN, and with the kernel's backend only */
};

/** How the compressed copy of an object is made. */
enum agentmem_algorithm { AGENTMEM_ALG_NONE, AGENTMEM_ALG_ZSTD, AGENTMEM_ALG_DEFLATE_IAA, AGENTMEM_ALG_ZSTD_IAA };

#define AGENTMEM_DIGEST_SIZE	32	/**< bytes of a digest (SHA-256) */
#define AGENTMEM_HEX_SIZE	65	/**< characters of a digest as text, the NUL with them */
#define AGENTMEM_NAME_SIZE	256	/**< bytes of an agent's name, the NUL with them */
#define AGENTMEM_SELF		(-1)	/**< instead of a descriptor: the agent that the caller is */

#define AGENTMEM_NOCOMPRESS	(1u << 3)	/**< agentmem_options.flags: not worth compressing, e.g. because it is already */

#define AGENTMEM_REVOKE		(1u << 0)	/**< agentmem_share(): take back what was not claimed yet */

#define AGENTMEM_R_DEDUP	(1u << 0)	/**< agentmem_info.result: the content was there already */
#define AGENTMEM_R_DELTA	(1u << 1)	/**< agentmem_info.result: held as a difference to its base */

/** How to put; NULL means the values of AGENTMEM_OPTIONS_INIT. Start from that, never from zeros. */
struct agentmem_options {
	uint32_t size;		/**< sizeof(struct agentmem_options) */
	uint32_t flags;		/**< AGENTMEM_NOCOMPRESS or 0 */
	int32_t base_fd;	/**< agentmem_put(): an object with similar content, to be stored against; -1: none. A hint. */
	int32_t node;		/**< preferred NUMA node; -1: the agent's */
	uint32_t importance;	/**< 1 to 1000; 0: the agent's */
};
#define AGENTMEM_OPTIONS_INIT { sizeof(struct agentmem_options), 0, -1, -1, 0 }

/** What came of a put or an append. */
struct agentmem_info {
	uint32_t result;			/**< AGENTMEM_R_* */
	uint8_t digest[AGENTMEM_DIGEST_SIZE];	/**< SHA-256 of the whole content */
};

/** A mapped object: `size` bytes at `data`, read-only. */
struct agentmem_view {
	const void *data;
	size_t size;
};

/* agentmem_mark.valid: which members count */
#define AGENTMEM_MARK_TEMPERATURE	(1u << 0)
#define AGENTMEM_MARK_STATE		(1u << 1)	/**< agents only */
#define AGENTMEM_MARK_IMPORTANCE	(1u << 2)
#define AGENTMEM_MARK_NODE		(1u << 3)
#define AGENTMEM_MARK_NAME		(1u << 4)	/**< agents only */

/** What agentmem_mark() is to say. Set size and valid, and the members that valid names; leave the rest zero. */
struct agentmem_mark {
	uint32_t size;			/**< sizeof(struct agentmem_mark) */
	uint32_t valid;			/**< AGENTMEM_MARK_* */
	uint32_t temperature;		/**< enum agentmem_temperature */
	uint32_t state;			/**< enum agentmem_state */
	uint32_t importance;		/**< 1 to 1000 */
	int32_t node;			/**< NUMA node, or -1 */
	uint32_t reserved;		/**< 0 */
	char name[AGENTMEM_NAME_SIZE];	/**< NUL-terminated, not empty */
};

/** One object. */
struct agentmem_smu_stats {
	uint32_t size;			/**< in: sizeof(struct agentmem_smu_stats); out: how much of it was filled */
	uint32_t type;			/**< enum agentmem_type */
	uint32_t flags;			/**< AGENTMEM_NOCOMPRESS, and what else the backend keeps of the call that made it */
	uint32_t temperature;		/**< enum agentmem_temperature */
	uint64_t length;		/**< bytes of content */
	uint64_t resident_top;		/**< bytes not compressed, in the top tier of memory */
	uint64_t resident_lower;	/**< the same in lower tiers (CXL) */
	uint64_t stored;		/**< bytes of the compressed copy */
	uint64_t idle_ms;		/**< since the last access */
	uint32_t holders;		/**< agents of the caller's domain that hold it */
	uint32_t base_depth;		/**< bases below it; 0: it stands alone */
	uint32_t algorithm;		/**< enum agentmem_algorithm */
	int32_t node;			/**< preferred NUMA node, or -1 */
	uint8_t digest[AGENTMEM_DIGEST_SIZE];
};

/** One agent, or the sum of many (then state, importance, node and name are 0, 0, -1 and empty). */
struct agentmem_stats {
	uint32_t size;			/**< in: sizeof(struct agentmem_stats); out: how much of it was filled */
	uint32_t state;			/**< enum agentmem_state */
	uint32_t importance;		/**< 1 to 1000 */
	int32_t node;			/**< preferred NUMA node, or -1 */
	uint64_t smus;			/**< objects held, once per holder */
	uint64_t logical_bytes;		/**< what the holders see, once per holder */
	uint64_t unique_bytes;		/**< the same, once per object */
	uint64_t resident_top;		/**< bytes not compressed, in the top tier of memory */
	uint64_t resident_lower;	/**< the same in lower tiers (CXL) */
	uint64_t stored_bytes;		/**< bytes of compressed copies */
	uint64_t swapped_bytes;		/**< of these, swapped out; an estimate */
	uint64_t dedup_hits;		/**< puts that found their content there */
	uint64_t dedup_bytes;		/**< content that these did not add */
	uint64_t attach_hits;		/**< contents found by digest */
	uint64_t delta_hits;		/**< contents held as a difference to a base */
	uint64_t compressions;
	uint64_t decompressions;
	uint64_t decompress_ns;
	uint64_t evict_age;		/**< plain copies dropped because they were idle, */
	uint64_t evict_pressure;	/**< because memory was short, */
	uint64_t evict_mark;		/**< because of a mark */
	uint64_t fault_resident;	/**< accesses that found the content in place, */
	uint64_t fault_lower;		/**< in a lower tier, */
	uint64_t fault_stored;		/**< compressed, */
	uint64_t fault_swapped;		/**< in swap */
	uint64_t anon_bytes;		/**< private anonymous memory of the processes */
	uint64_t anon_stored_bytes;	/**< of it, held by the store */
	uint64_t anon_store_used;	/**< bytes that takes */
	char name[AGENTMEM_NAME_SIZE];
};

/**
 * agentmem_put - make or find the object that holds these bytes
 * @type: what they are
 * @data: @size bytes; they are read once, and may be changed or freed afterwards
 * @size: 1 byte to the limit, which is 1 GiB unless the system's administrator set another
 * @options: or NULL for the defaults. With base_fd the content is held as a difference to that object's where that pays;
 *	a backend that does no such thing holds it whole.
 * @info: filled in on success; or NULL
 *
 * Return: a descriptor, close-on-exec and never writable. It holds the object, as does each copy of it (dup, fork,
 * SCM_RIGHTS). Read through agentmem_map(); with the kernel's backend read(2), mmap(2) and the like work on it, too.
 *
 * Errors: EINVAL unknown type or flag, size 0, importance or node out of range, options too small; E2BIG content over the
 * limit, options longer than known and not zero there; EFAULT bad pointer; EBADF, EBADFD base_fd is not open, is no object;
 * EDQUOT the user's objects are too many; EOPNOTSUPP switched off by the administrator; ENOMEM also: the store is full.
 */
int agentmem_put(enum agentmem_type type, const void *data, size_t size, const struct agentmem_options *options,
		 struct agentmem_info *info);

/**
 * agentmem_append - the object that holds another one's bytes followed by these
 * @base_fd: the object that comes first; may be closed afterwards
 * @type, @data, @size, @options, @info: as for agentmem_put(); options->base_fd is -1
 *
 * Takes memory (and time for hashing) for what was appended only, so a history that grows is put again after each step at
 * the price of the step. The object is the same as if the whole content had been put.
 *
 * Return, errors: as agentmem_put(); E2BIG if the whole is over the limit.
 */
int agentmem_append(int base_fd, enum agentmem_type type, const void *data, size_t size,
		    const struct agentmem_options *options, struct agentmem_info *info);

/**
 * agentmem_attach - find an object by its digest
 * @digest: AGENTMEM_DIGEST_SIZE bytes
 *
 * Finds what anybody in the caller's domain holds, and what was granted to the caller's agent by agentmem_share(); such a
 * grant is used up by it.
 *
 * Return: a descriptor as from agentmem_put(). Errors: ENOENT nobody here holds it; EFAULT.
 */
int agentmem_attach(const uint8_t digest[AGENTMEM_DIGEST_SIZE]);

/**
 * agentmem_close - close a descriptor of an object
 *
 * close(2) is as right. With the fallback this one also frees the memory now if nobody else holds the object; after
 * close(2) the next call of any of the user's programs that puts, finds or closes something does.
 *
 * Return: 0. Errors: EBADF. The descriptor is closed if it was open.
 */
int agentmem_close(int fd);

/**
 * agentmem_map - map an object's content
 * @fd: the object
 * @view: filled in; it stays valid until agentmem_unmap(), also after @fd is closed
 *
 * No copy: all who map the object see the same pages of memory. What is compressed is decompressed first.
 *
 * Errors: EBADF, EBADFD; EIO (fallback) the store's files are damaged; ENOMEM.
 */
int agentmem_map(int fd, struct agentmem_view *view);

/**
 * agentmem_map_at - map an object's content at a place of the caller's
 * @fd: the object
 * @address: a multiple of the page size. The whole pages of the content from there on, and the page before them, are replaced
 *	if they are mapped, and are the view's; what was in the page before is lost even if the call fails
 * @view: filled in, as by agentmem_map()
 *
 * Who reads there meanwhile sees the old content or the new one, and never a gap: if they are equal, no reader notices.
 * munmap(2) of all these pages ends the view, too.
 *
 * Errors: as agentmem_map(); EINVAL @address; EOPNOTSUPP (fallback) the object was appended to another one.
 */
int agentmem_map_at(int fd, void *address, struct agentmem_view *view);

/**
 * agentmem_map_private - map an object's content so that it may be written to
 * @fd, @view: as for agentmem_map(); view->data may be cast to a pointer to what is not const
 *
 * For what cannot keep others from writing, as the buffers of many languages. The pages are the same ones as everybody's until
 * somebody writes: that goes to copies which this view alone has. The object, and all other views, stay as they are.
 *
 * Errors: as agentmem_map().
 */
int agentmem_map_private(int fd, struct agentmem_view *view);

/** agentmem_unmap - end a view; @view is empty (NULL, 0) afterwards, and an empty one may be given. Errors: EINVAL. */
int agentmem_unmap(struct agentmem_view *view);

/**
 * agentmem_share - grant an object to another agent
 * @fd: the object
 * @pidfd: a process of the agent, see pidfd_open(2)
 * @flags: 0, or AGENTMEM_REVOKE to take back a grant not claimed yet
 *
 * The agent can attach the content by its digest from now on, whoever else holds it meanwhile and (with the kernel's backend)
 * whatever domain it is in. Nothing is copied. Grants end when they are claimed or taken back, or with the agent.
 *
 * Errors: EINVAL flags; EBADF, EBADFD; ESRCH the process is gone; EPERM not allowed towards it: it cannot be signalled
 * (kill(2)) and is of another domain, or, with the fallback, is another user's; ENOENT no such grant to take back; EDQUOT
 * too many grants to that agent are pending.
 */
int agentmem_share(int fd, int pidfd, unsigned int flags);

/**
 * agentmem_mark - say how an object or an agent is used
 * @fd: an object, a pidfd (the agent of that process) or AGENTMEM_SELF
 * @mark: what to say; NULL: HOT
 *
 * HOT brings the content into main memory, not compressed, before it returns. WARM compresses and lets go of the plain copy,
 * COLD also makes room in main memory as far as there is a place to go. A temperature on an agent goes for all objects that
 * it holds. The rest says whom to spare when memory is short.
 *
 * Errors: EINVAL a mark that does not apply to that kind of fd, a value out of range, mark too small; E2BIG mark longer than
 * known and not zero there; EFAULT; EBADF, EBADFD; ESRCH; EPERM another agent, and not allowed to signal it; EINTR; ENOMEM.
 */
int agentmem_mark(int fd, const struct agentmem_mark *mark);

/**
 * agentmem_agent - describe the agent that the caller is
 * @name: cut after AGENTMEM_NAME_SIZE - 1 bytes; or NULL: as it was (in the beginning, the name of the process)
 * @importance: 1 to 1000; 0: as it was (in the beginning 500)
 * @state: enum agentmem_state; 0: as it was (in the beginning AGENTMEM_ACTIVE)
 *
 * One process is one agent, with the children that it forks: until they name themselves. It lasts across execve(2).
 * Errors: EINVAL empty name, value out of range, or nothing to say.
 */
int agentmem_agent(const char *name, unsigned int importance, int state);

/**
 * agentmem_agents - the processes of the caller's domain that are agents
 * @pids: room for @count process ids; may be NULL if @count is 0
 *
 * Processes of one agent are listed each. With CAP_SYS_ADMIN and the kernel's backend: of all domains.
 *
 * Return: how many there are, which may be more than @count.
 */
ssize_t agentmem_agents(pid_t *pids, size_t count);

/** agentmem_smu_stats - figures of an object; set stats->size first. Errors: EINVAL size; EBADF, EBADFD; EFAULT. */
int agentmem_smu_stats(int fd, struct agentmem_smu_stats *stats);

/**
 * agentmem_stats - figures of an agent, of the caller's domain or of the system
 * @scope: whose
 * @pidfd: with AGENTMEM_SCOPE_AGENT a process of the agent, or AGENTMEM_SELF; else -1. Of a process that is no agent (yet) all
 *	counts are 0 and the name is empty.
 * @stats: set stats->size first
 *
 * Errors: EINVAL scope or size; EFAULT; EBADF, EBADFD; ESRCH the process is gone; EPERM, EACCES not allowed to
 * look at it (as /proc/PID/smaps), AGENTMEM_SCOPE_SYSTEM without CAP_SYS_ADMIN; EOPNOTSUPP AGENTMEM_SCOPE_SYSTEM with the
 * fallback.
 */
int agentmem_stats(enum agentmem_scope scope, int pidfd, struct agentmem_stats *stats);

/** agentmem_digest - the digest of an object. Errors: EBADF, EBADFD. */
int agentmem_digest(int fd, uint8_t digest[AGENTMEM_DIGEST_SIZE]);

/** agentmem_hex - a digest as 64 lower-case hexadecimal digits and a NUL; returns @hex. Cannot fail. */
char *agentmem_hex(const uint8_t digest[AGENTMEM_DIGEST_SIZE], char hex[AGENTMEM_HEX_SIZE]);

/** agentmem_unhex - the digest that 64 hexadecimal digits stand for. Errors: EINVAL any other text. */
int agentmem_unhex(const char *hex, uint8_t digest[AGENTMEM_DIGEST_SIZE]);

/**
 * agentmem_backend - which backend this process uses: "kernel" or "fallback"
 *
 * Return: a string that stays, or NULL if there is none (errno as for every function, see above).
 */
const char *agentmem_backend(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* AGENTMEM_H */
