/* SPDX-License-Identifier: MIT */
#include "agentmem-alloc.h"
#include "block.h"
#include "library.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *agent_malloc(size_t size, enum agentmem_type type)
{
	void *at;

	if ((unsigned int)type > AGENTMEM_TOOL_RESULT) {
		errno = EINVAL;
		return NULL;
	}
	at = block_new(size, (struct want){.kind = TEXT, .type = type});
	return at ? at : calloc(1, size ? size : 1);
}

void agent_free(void *ptr)
{
	if (!block_free(ptr))
		free(ptr);
}

/* A text that cannot grow where it is, or must not. */
static void *renew(void *ptr, struct entry entry, size_t size)
{
	void *to = agent_malloc(size, (enum agentmem_type)entry.type);

	if (!to)
		return NULL;
	memcpy(to, ptr, entry.length < size ? entry.length : size);
	block_free(ptr);
	return to;
}

void *agent_realloc(void *ptr, size_t size)
{
	struct entry entry = table_get(ptr);
	void *to;

	if (entry.kind != TEXT && entry.kind != SEALED)
		return realloc(ptr, size ? size : 1);
	to = entry.kind == TEXT ? block_resize(ptr, size) : NULL;
	return to ? to : renew(ptr, entry, size);
}

/* The object's pages in place of ours. */
static int show(const struct library *lib, void *ptr, struct entry entry)
{
	struct agentmem_view view;
	int fd = lib->put((enum agentmem_type)entry.type, ptr, entry.length, NULL, NULL), result, why;

	if (fd < 0)
		return -1;
	result = lib->map_at(fd, ptr, &view);
	why = errno;
	lib->close(fd); /* the view keeps the object */
	errno = why;
	return result;
}

int agent_seal(void *ptr)
{
	struct entry entry = table_get(ptr), sealed = entry;
	const struct library *lib;

	if (entry.kind == SEALED)
		return 0;
	if (entry.kind != TEXT || !entry.length) {
		errno = EINVAL;
		return -1;
	}
	lib = library();
	if (!lib)
		return -1;
	/* A write that is under way while the content is taken must not be lost without a word. */
	if (!system_protect(ptr, whole_pages(entry.length), PROT_READ)) {
		errno = ENOMEM;
		return -1;
	}
	sealed.kind = SEALED;
	if (show(lib, ptr, entry) == 0)
		return table_set(ptr, sealed), 0;
	system_protect(ptr, whole_pages(entry.length), PROT_READ | PROT_WRITE);
	return -1;
}
