/* SPDX-License-Identifier: MIT */
/* How long objects stay in the store. All of it in the store's lock. */
#ifndef KEEP_H
#define KEEP_H

#include "object.h"

/* Opens the record of an object that somebody keeps, and holds it. ENOENT: nobody does; what was left of it is gone. */
int am_keep_hold(int dir, const uint8_t *digest);
/* The same for one that is new, so that nobody can keep it yet. */
int am_keep_open(int dir, const uint8_t *digest);
/* Removes an object if nothing keeps it, then its base likewise, and so on. */
void am_keep_release(int dir, const uint8_t *digest);
/* Removes an object's files: it was not finished. */
void am_keep_remove(int dir, const uint8_t *digest);
/* Removes what is damaged, if it is still the object of that record: a sound one may have taken its place. */
void am_keep_remove_damaged(int dir, int record, const uint8_t *digest);
/* Looks at everything: removes what nothing keeps, what a crash left, agents that have ended and their grants. */
void am_keep_sweep(int dir);

/* The name of a grant, and how many are pending for an agent. */
void am_keep_grant(char name[NAME_SIZE], ino_t agent, const uint8_t *digest);
size_t am_keep_grants(int dir, ino_t agent);

/* The names of all files of the store but lock and totals. False: no memory, or the directory cannot be read. */
struct names {
	char (*list)[NAME_SIZE];
	size_t count, room;
};
bool am_keep_list(int dir, struct names *names);
void am_keep_list_free(struct names *names);

#endif
