/* SPDX-License-Identifier: MIT */
/**
 * agentmem-alloc.h - memory for a text that is written once and then kept
 *
 *	char *text = agent_malloc(size, AGENTMEM_CONVERSATION);
 *
 *	read_all(text, size);		// ordinary memory
 *	agent_seal(text);		// from here on the pages of the one object that has this content
 *	...
 *	agent_free(text);
 *
 * The address stays what it is. All of the user's processes that seal the same bytes share one copy; see agentmem.h.
 *
 * If sealing fails the memory is what it was: a program may leave the result aside. Any thread may call, also after
 * fork(); none of these is for signal handlers. Under libagentmem-preload.so, realloc(), free() and malloc_usable_size()
 * know this memory, too; without it only the functions here do.
 */
#ifndef AGENTMEM_ALLOC_H
#define AGENTMEM_ALLOC_H

#include <agentmem.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * agent_malloc - memory for a text
 * @size: bytes, and what the object will be: as many bytes, no more and no fewer
 * @type: what the text is
 *
 * Whole pages that start at a multiple of 64 KB, cleared. If there are none to be had (a limit to the address space, many
 * thousand blocks) it is malloc()'s memory, which cannot be sealed.
 *
 * Return: NULL with EINVAL (unknown type) or ENOMEM.
 */
void *agent_malloc(size_t size, enum agentmem_type type);

/**
 * agent_realloc - more or less of it
 *
 * As realloc() but that size 0 is no way to free it. The content of sealed memory becomes ordinary memory again, in another
 * place. Return: NULL with ENOMEM, and the old one stays.
 */
void *agent_realloc(void *ptr, size_t size);

/**
 * agent_seal - the text is finished
 * @ptr: from agent_malloc() or agent_realloc()
 *
 * Other threads may go on reading. From the beginning of the call a write is a fault (SIGSEGV), so none is lost; if
 * the call fails, the memory can be written as before. To seal twice is no mistake.
 *
 * Return: 0, or -1 with errno: EINVAL it is not such memory, or of size 0; as agentmem_put() and agentmem_map_at(); ENOSYS
 * libagentmem.so is not there.
 */
int agent_seal(void *ptr);

/** agent_free - gives it back, sealed or not; NULL is allowed. errno stays as it is. */
void agent_free(void *ptr);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* AGENTMEM_ALLOC_H */
